"""Directions between modes added to the last position's state, or to every state while answering."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from margin.analysis.behaviour.refusal import match_refusals
from margin.analysis.directions import PROJECTED_OUT, Directions
from margin.analysis.trace import Float
from margin.study.traced_rows import Pair, Steered
from margin.tracing.job import Advance, Job

if TYPE_CHECKING:
    from margin.capture.follow import Layers


def steer(
    job: Job, steering: Directions, steered: Sequence[int], doses: Sequence[float], advance: Advance
) -> list[Steered]:
    """Every pair in every way at the layers that are steered."""
    from margin.capture.follow import divergence, follow

    ways = [(control, dose) for control in steering.controls for dose in doses] + [(PROJECTED_OUT, 1.0)]
    lines = {
        (layer, pair, control, dose): Steered.empty(job.n, layer, pair, dose, control, pair[0] == 0)
        for layer in steered
        for pair in job.pairs
        for control, dose in ways
    }

    def make(token: int, prompts: tuple[int, ...], layers: Layers) -> dict[int, NDArray[np.float32]]:
        some = np.array(prompts, dtype=np.intp)
        of_token = job.pairs_of(token)
        return {
            layer: np.stack(
                [
                    steering.changed(layer, pair, control, dose, some, layers[token][layer])
                    for pair in of_token
                    for control, dose in ways
                ]
                or [np.empty((0, 1), np.float32)],
                axis=1,
            )
            for layer in steered
            if of_token
        }

    for its in follow(job.tracer, job.rows.live, range(job.n), job.batch_tokens, make):
        some = np.array(its.prompts, dtype=np.intp)
        of_token = job.pairs_of(its.token)
        for layer, states in its.states.items():
            for at, (pair, (control, dose)) in enumerate((pair, way) for pair in of_token for way in ways):
                line = lines[layer, pair, control, dose]
                line.put(job.marks, some, job.points(states[:, at]))
                if line.divergence is not None:
                    line.divergence[some] = divergence(job.ways.head, states[:, at], its.unchanged[its.token])
        advance(len(some))
    return list(lines.values())


def answers(
    job: Job, steering: Directions, layer: int, doses: Sequence[float], length: int
) -> dict[tuple[int, Pair, float], Float]:
    """Whether steered answers refuse: at one layer, at every position, along the direction."""
    import torch

    from margin.capture.answers import greedy_answers
    from margin.capture.budget import Budget
    from margin.capture.interventions import Add, patching
    from margin.capture.plan import Batch

    rows, found = job.rows.live, {}
    for pair in job.pairs:
        for dose in (0.0, *doses):
            refused = np.empty(job.n)
            for fold in range(job.marks.fold.max() + 1):
                prompts = np.flatnonzero(job.marks.fold == fold)
                places = [int(prompt) * job.k + pair[0] for prompt in prompts]
                vector = torch.from_numpy(steering.vectors["direction"][layer][fold, pair[0], pair[1]])
                batches = [Batch((place,), "", 0) for place in places]
                change = Add(layer, vector.float(), dose)
                with job.ways.hooks.disabled(), patching(job.checkpoint.model, change, None):
                    said = greedy_answers(
                        job.checkpoint, rows.ids, batches, length, Budget(job.batch_tokens), mixed=False
                    )
                texts = [
                    str(job.checkpoint.tokenizer.decode(list(said[place].ids), skip_special_tokens=True))
                    for place in places
                ]
                refused[prompts] = match_refusals(texts).refused
            found[layer, pair, dose] = refused
    return found
