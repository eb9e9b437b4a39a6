"""Distances within independent units: what leaving out a prompt, or a cluster of prompts, takes away."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from margin.analysis.distances import Distances
from margin.stats.design import Design

AT_A_TIME = 256
"""Points whose distances are held at a time; a larger cluster is held by itself."""


def matmul_within(distances: Distances, design: Design, M: NDArray[np.floating]) -> NDArray[np.float64]:
    """(D o S) @ M for M (N, m), S 1 where two points are of one unit (prompt or cluster): float64 (N, m).

    Costs O(N b d) for units of up to b points, and blocks of `AT_A_TIME`.
    """
    unit = design.unit[design.prompt]
    order = np.argsort(unit, kind="stable")
    ends = np.cumsum(np.bincount(unit))
    out = np.zeros((design.n_points, M.shape[1]))
    start = 0
    while start < len(order):
        full = int(np.searchsorted(ends, start + AT_A_TIME, side="right"))
        stop = int(ends[full - 1]) if full and ends[full - 1] > start else int(ends[full])
        points = order[start:stop]
        D = distances.subset(points).matmul(np.eye(len(points)))
        D[unit[points][:, None] != unit[points]] = 0
        np.fill_diagonal(D, 0)
        out[points] = D @ M[points]
        start = stop
    return out
