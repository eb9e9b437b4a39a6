"""States of the last position replaced by another mode's, and by what must not change the mode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from margin.analysis.trace import Float, Landmarks
from margin.stats.seeds import generator
from margin.study.traced_rows import Controlled, Patched
from margin.tracing.job import Advance, Job

if TYPE_CHECKING:
    from margin.capture.follow import Layers
    from margin.capture.tracer import TokenRows, Tracer


def patch(
    job: Job,
    tracer: Tracer,
    rows: TokenRows,
    marks: Landmarks,
    places: NDArray[np.int64],
    keep: Sequence[int],
    kept: dict[int, Float],
    advance: Advance,
) -> Patched:
    """Every pair at every layer, of one set of tokens; states (n, k, d) of layers to `keep` go to `kept`."""
    from margin.capture.follow import follow

    def make(token: int, prompts: tuple[int, ...], layers: Layers) -> dict[int, NDArray[np.float32]]:
        donors = [donor for _, donor in job.pairs_of(token)]
        return {
            layer: np.stack([layers[donor][layer] for donor in donors], axis=1)
            if donors
            else np.empty((len(prompts), 0, 1), np.float32)
            for layer in job.layers
        }

    found = Patched.empty(rows.n, job.pairs, job.layers)
    for its in follow(tracer, rows, range(rows.n), job.batch_tokens, make):
        some = np.array(its.prompts, dtype=np.intp)
        job.require_same(its, places[some])
        for layer in keep:
            own = its.layers[its.token][layer]
            kept.setdefault(layer, np.empty((rows.n, rows.k, own.shape[1])))[some, its.token] = own
        if its.states:
            points = job.points(np.stack([its.states[layer] for layer in job.layers], axis=2))
            whole = job.points(its.unchanged)
            of_token = [place for place, pair in enumerate(job.pairs) if pair[0] == its.token]
            for at, place in enumerate(of_token):
                donor = job.pairs[place][1]
                found.put(marks, some, place, points[:, at], whole[its.token], whole[donor])
        advance(len(some))
    return found


def control(job: Job, advance: Advance) -> Controlled:
    """States replaced by what must not change the mode, and by themselves."""
    from margin.capture.follow import follow

    rng = generator(job.seed, "trace", "controls")
    last: dict[int, dict[int, NDArray[np.float32]]] = {}

    def make(token: int, prompts: tuple[int, ...], layers: Layers) -> dict[int, NDArray[np.float32]]:
        donor, changes = (token + 1) % len(layers), {}
        for layer in job.layers:
            own = layers[token][layer]
            other = np.roll(own, 1, axis=0)
            if len(own) == 1:  # the prompt before it, or none
                other = last.get(token, {}).get(layer, own)
            last.setdefault(token, {})[layer] = own[-1:]
            noise = rng.standard_normal(own.shape)
            length = np.linalg.norm(layers[donor][layer] - own, axis=1, keepdims=True)
            noise *= length / np.linalg.norm(noise, axis=1, keepdims=True)
            changes[layer] = np.stack([other, own + noise.astype(np.float32), own], axis=1)
        return changes

    n, k = len(job.control_prompts), job.k
    names = ("same mode", "random vector")
    moved = {name: np.zeros((n, k, len(job.layers))) for name in names}
    unchanged = 0.0
    place_of = {prompt: place for place, prompt in enumerate(job.control_prompts)}
    for its in follow(job.tracer, job.rows.live, job.control_prompts, job.batch_tokens, make):
        some = np.array(its.prompts, dtype=np.intp)
        into = [place_of[prompt] for prompt in its.prompts]
        for at, layer in enumerate(job.layers):
            states = its.states[layer]
            for which, name in enumerate(names):
                nearest = job.marks.distances(job.points(states[:, which]), some).argmin(axis=1)
                moved[name][into, its.token, at] = nearest != its.token
            own = its.unchanged[its.token]
            error = np.linalg.norm(states[:, -1] - own, axis=1) / np.linalg.norm(own, axis=1)
            unchanged = max(unchanged, float(error.max()))
        advance(len(some))
    return Controlled(job.control_prompts, moved, unchanged)
