"""Attention to the token blocked, after every layer."""

from __future__ import annotations

import numpy as np

from margin.analysis.trace import margin_of
from margin.study.traced_rows import Cutting
from margin.tracing.job import Advance, Job


def cut(job: Job, advance: Advance) -> Cutting:
    """Attention to the token blocked after every layer."""
    from margin.capture.follow import cut_rows

    n, k, L = job.n, job.k, len(job.layers)
    kept, margin = np.empty((n, k, L)), np.empty((n, k, L))
    for token, prompts, states in cut_rows(
        job.tracer, job.rows.live, range(job.n), job.batch_tokens, job.layers
    ):
        some = np.array(prompts, dtype=np.intp)
        points = job.points(states)
        distances = job.marks.distances(points.reshape(-1, points.shape[-1]), np.repeat(some, L))
        own = np.full(len(distances), token, dtype=np.intp)
        kept[some, token] = (distances.argmin(axis=1) == token).reshape(-1, L)
        margin[some, token] = margin_of(distances, own).reshape(-1, L)
        advance(len(some))
    return Cutting(kept, margin)
