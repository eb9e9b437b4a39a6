"""The same rows again, in ways that differ from the loop by rounding only: the makings of a noise floor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, groupby

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from margin.capture.budget import Budget, free_memory, is_out_of_memory, within_memory
from margin.capture.loop import Forward
from margin.capture.placement import on_one_device
from margin.capture.plan import Batch
from margin.inputs.rows import Row

TOGETHER = 8
"""Rows of any length that share a batch in the second way."""

States = NDArray[np.float32]


def rows_to_repeat(rows: Sequence[Row], prompts: int, seed: int) -> list[int]:
    """Rows of at most `prompts` prompts drawn at random, each under every mode; controls are left out.

    None of fewer than two prompts, which have no margin.
    """
    reference = [(row, its.prompt) for row, its in enumerate(rows) if its.kind == "mode"]
    n_prompts = 1 + max(prompt for _, prompt in reference)
    chosen = set(np.random.default_rng(seed).permutation(n_prompts)[:prompts].tolist())
    return [row for row, prompt in reference if prompt in chosen] if len(chosen) > 1 else []


@dataclass(frozen=True, eq=False)
class Repeats:
    """Final states (M, d) of some rows, computed again in two ways."""

    rows: list[int]
    """Places of the rows in the run."""
    alone: States
    """One by one by the plain forward pass."""
    dtype: str
    """What that was computed in: float32 where memory allowed, else the model's own."""
    mixed: States
    """In other batches, without a shared prefix."""
    own: str
    """The model's dtype."""

    def moved(self, states: States) -> float:
        """`state_error` of the run's final states (rows, d) against what was computed in the same dtype.

        What another dtype makes of them is left out: it says how far the run's own rounds, not whether the
        run is right.
        """
        same = [self.mixed, *([self.alone] if self.dtype == self.own else [])]
        return max(state_error(found, states[self.rows]) for found in same)


def repeat(
    forward: Forward, rows: list[int], budget: Budget, seed: int, *, pad: bool, together: bool
) -> Repeats:
    """Run rows again: one by one, and in other batches, where they may share one (`together`)."""
    alone, dtype = repeat_alone(forward, rows)
    mixed = repeat_mixed(forward, rows, pad, TOGETHER if together else 1, budget, seed)
    return Repeats(rows, alone, dtype, mixed, _name(forward.model.dtype))


def repeat_alone(forward: Forward, rows: Sequence[int]) -> tuple[States, str]:
    """Final states (M, d) of rows one by one, all blocks at all positions, and the dtype of it.

    That is float32 where the model's weights are of a lower one, lie on one device and memory holds both,
    else the model's own.
    """
    narrow, forward.hooks.last_block_at_positions = forward.hooks.last_block_at_positions, False
    try:
        return _alone(forward, rows)
    finally:
        forward.hooks.last_block_at_positions = narrow


def _alone(forward: Forward, rows: Sequence[int]) -> tuple[States, str]:
    batches = [Batch((row,), "", 0) for row in rows]
    model = forward.model
    if model.dtype.itemsize < 4 and on_one_device(model) and not getattr(model, "is_quantized", False):
        needed = 4 * sum(weight.numel() for weight in model.parameters())
        if free_memory(model.device) > 1.25 * needed:
            try:
                with in_float32(model):
                    return np.concatenate([_states(forward, batch) for batch in batches]), "float32"
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
    return np.concatenate([_states(forward, batch) for batch in batches]), _name(model.dtype)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def repeat_mixed(
    forward: Forward, rows: Sequence[int], pad: bool, size: int, budget: Budget, seed: int
) -> States:
    """Final states (M, d) of rows in random batches of at most `size` without a shared prefix.

    With `pad` lengths are mixed, so most rows are padded; else rows of one length share a batch.
    """
    order = np.random.default_rng(seed).permutation(rows).tolist()
    if not pad:
        order.sort(key=lambda row: len(forward.ids[row]))
    batches = []
    for _, alike in groupby(order, key=lambda row: pad or len(forward.ids[row])):
        some = tuple(alike)
        batches += [Batch(some[start : start + size], "", 0) for start in range(0, len(some), size)]
    done = list(within_memory(lambda batch: _states(forward, batch), batches, forward.ids, budget))
    states = np.concatenate([found for _, found in done])
    place = {row: i for i, row in enumerate(chain.from_iterable(batch.rows for batch, _ in done))}
    return states[[place[row] for row in rows]]


def state_error(found: States, expected: States) -> float:
    """Largest Euclidean difference of a row, relative to the row."""
    difference = np.linalg.norm(found.astype(np.float64) - expected, axis=1)
    return float((difference / np.maximum(np.linalg.norm(expected.astype(np.float64), axis=1), 1e-30)).max())


def _states(forward: Forward, batch: Batch) -> States:
    forward(batch)
    return forward.hooks.final_states()[:, 0].float().cpu().numpy()


@contextmanager
def in_float32(model: PreTrainedModel) -> Iterator[None]:
    """The model with all weights in float32, and bit for bit as it was afterwards."""
    weights: list[Tensor] = [*model.parameters(), *model.buffers()]
    lower = [(weight, weight.data) for weight in weights if weight.dtype in (torch.bfloat16, torch.float16)]
    try:
        with torch.inference_mode(False), torch.no_grad():
            for weight, data in lower:
                weight.data = data.float()
        yield
    finally:
        with torch.inference_mode(False), torch.no_grad():
            for weight, data in lower:
                weight.data = data
