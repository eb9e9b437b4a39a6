"""The loop: batches through the model, what the hooks captured to the host, one shard at a time.

Copies to the host do not wait for the device, which goes on with the next batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from margin.capture.budget import Budget, within_memory
from margin.capture.calling import call
from margin.capture.hooks import HiddenStateHooks
from margin.capture.placement import devices_of, input_device, to_device
from margin.capture.plan import Batch, Ids
from margin.capture.prefix import for_rows, prefix_cache
from margin.inputs.options import CaptureOptions

HALF_ERROR = 1e-6
"""Largest relative error (Euclidean, a row) for which a layer's states are stored in half precision: no more
than float32 computes them with. Margins are made of differences between a prompt's rows, which may be a
thousandth of a row's length, and a shard seldom holds two rows of one prompt to measure them by."""


class NotFiniteError(ArithmeticError):
    """The model answers some rows with NaN or infinity."""

    def __init__(self, rows: Sequence[int]) -> None:
        super().__init__(f"rows {list(rows)}")
        self.rows = rows


class Forward:
    """The hooked model as a function of a batch; keeps the cache of the condition it is at."""

    def __init__(
        self,
        model: PreTrainedModel,
        hooks: HiddenStateHooks,
        ids: Sequence[Ids],
        prefixes: dict[str, tuple[int, ...]],
        positions: int = 1,
    ) -> None:
        self.model, self.hooks, self.ids, self._prefixes = model, hooks, ids, prefixes
        self.positions = positions
        self.answers: Mapping[int, Ids] = {}
        """Tokens that come after a row's own, by row; needed for more than one position."""
        self._cached: tuple[str, DynamicCache | None] | None = None

    def __call__(self, batch: Batch) -> Tensor:
        """(B, K, V) logits of the first K response tokens; states and layers are in the hooks afterwards.

        Of a row whose answer ends before, the last is repeated.
        """
        said = [self.answers.get(row, ())[: self.positions - 1] for row in batch.rows]
        own = [[*self.ids[row][batch.prefix :], *its] for row, its in zip(batch.rows, said, strict=True)]
        # Right padding: a causal model never looks at it, so it needs no mask and shifts no position.
        tokens = torch.zeros(len(own), max(map(len, own)), dtype=torch.long)
        for line, row_ids in zip(tokens, own, strict=True):
            line[: len(row_ids)] = torch.tensor(row_ids)
        cache = for_rows(self._prefix_cache(batch), len(own)) if batch.prefix else None
        device = input_device(self.model)
        # The end of the prompt, then the answer's tokens; of a shorter answer the last again.
        positions = torch.tensor(
            [
                [len(row_ids) - 1 - max(len(its) - place, 0) for place in range(self.positions)]
                for row_ids, its in zip(own, said, strict=True)
            ]
        )
        self.hooks.expect(to_device(positions, device), tokens.shape[1])
        logits: Tensor = call(self.model, to_device(tokens, device), cache).logits
        return logits

    def synchronise(self) -> None:
        """Wait until all copies to the host are done."""
        for device in devices_of(self.model):
            if device.type == "cuda":
                torch.cuda.synchronize(device)

    def _prefix_cache(self, batch: Batch) -> DynamicCache:
        if self._cached is None or self._cached[0] != batch.group:
            self._cached = None  # frees the last condition's cache before the next is made
            self._cached = batch.group, prefix_cache(self.model, self.hooks, self._prefixes[batch.group])
        cache = self._cached[1]
        if cache is None:
            raise ValueError(f"{type(self.model).__name__} keeps no cache that rows can share")
        return cache


@dataclass(frozen=True, eq=False)
class Captured:
    """What was captured of a shard's rows, on the host, batch by batch."""

    rows: NDArray[np.int64]
    """Places of the rows in the run."""
    parts: dict[str, list[NDArray[np.generic]]]
    """The arrays of each batch, by name."""

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """A shard's arrays as `margin.run.shards` describes them.

        NotFiniteError names rows that hold a NaN or an infinity anywhere.
        """
        arrays = {name: np.concatenate(parts) for name, parts in self.parts.items()}
        finite = np.all(
            [np.isfinite(values).reshape(len(self.rows), -1).all(axis=1) for values in arrays.values()],
            axis=0,
        )
        if not finite.all():
            raise NotFiniteError(self.rows[~finite].tolist())
        return {"row": self.rows} | {
            name: _in_half(values) if name.startswith("layer.") else values for name, values in arrays.items()
        }


def capture(
    forward: Forward,
    batches: Sequence[Batch],
    budget: Budget,
    options: CaptureOptions,
    advance: Callable[[int], None],
) -> Captured:
    """Run a shard's batches within the budget, which falls where memory runs out.

    `advance` is told of rows done.
    """

    def captured(batch: Batch) -> dict[str, Tensor]:
        all_logits = forward(batch).float()
        logits = all_logits[:, 0]
        top = logits.topk(min(options.top_k, logits.shape[1]), dim=1)
        found = {
            **{name: states.float() for name, states in forward.hooks.captured().items()},
            "topk_ids": top.indices.int(),
            "topk_logits": top.values,
            "logsumexp": logits.logsumexp(dim=1),
            **({"logits": logits} if options.save_logits else {}),
            **(_later_positions(forward, batch, all_logits) if forward.positions > 1 else {}),
        }
        # From CUDA this makes pinned memory, and returns before it is filled.
        return {name: tensor.to("cpu", non_blocking=True) for name, tensor in found.items()}

    parts: dict[str, list[NDArray[np.generic]]] = {}
    rows: list[int] = []
    for batch, tensors in within_memory(captured, batches, forward.ids, budget):
        for name, tensor in tensors.items():
            parts.setdefault(name, []).append(tensor.numpy())
        rows += batch.rows
        advance(len(batch.rows))
    forward.synchronise()
    return Captured(np.array(rows, dtype=np.int64), parts)


def _later_positions(forward: Forward, batch: Batch, logits: Tensor) -> dict[str, Tensor]:
    """States and logsumexp at the response positions after the first, 0 where a row has ended before.

    Also how many positions each row reaches, and how many of its answer's tokens are the likeliest here.
    """
    said = [list(forward.answers.get(row, ())[: forward.positions]) for row in batch.rows]
    reached = torch.tensor([min(len(its) + 1, forward.positions) for its in said], device=logits.device)
    tokens = torch.full(logits.shape[:2], -1, device=logits.device)
    for line, its in zip(tokens, said, strict=True):
        line[: len(its)] = torch.tensor(its, device=logits.device)
    found = {
        "n_positions": reached.short(),
        "n_tokens": (tokens >= 0).sum(dim=1).short(),
        "n_likeliest": (logits.argmax(dim=2) == tokens).sum(dim=1).short(),
    }
    states, totals = forward.hooks.final_states().float(), logits.logsumexp(dim=2)
    for position in range(2, forward.positions + 1):
        there = reached >= position
        found[f"position.{position}.state"] = states[:, position - 1] * there[:, None].to(states.device)
        found[f"position.{position}.logsumexp"] = totals[:, position - 1] * there
    return found


def _in_half(states: NDArray[np.float32]) -> NDArray[np.generic]:
    """States in half precision where that keeps every row to `HALF_ERROR`, else as they are.

    It keeps those of a model that computes in 16 bits, whose layers are most of a run, as exact as they are.
    """
    whole = torch.from_numpy(states)  # torch rounds faster than NumPy
    half = whole.half()  # an overflow makes an infinite error, which is the answer sought
    error = (half.float() - whole).norm(dim=1)
    return half.numpy() if bool((error <= HALF_ERROR * whole.norm(dim=1)).all()) else states
