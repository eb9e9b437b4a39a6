"""The loop: batches through the model, what the taps caught to the host, one shard at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from margin.capture.plan import Batch, Ids
from margin.capture.prefix import for_rows, prefix_cache
from margin.capture.taps import Taps

HALF_ERROR = 1e-3
"""Largest relative error (Euclidean, a row) for which a layer's states are stored in half precision."""


class NotFiniteError(ArithmeticError):
    """The model answers some rows with NaN or infinity."""

    def __init__(self, rows: Sequence[int]) -> None:
        super().__init__(f"rows {list(rows)}")
        self.rows = rows


class Forward:
    """The tapped model as a function of a batch; keeps the cache of the condition it is at."""

    def __init__(
        self, model: PreTrainedModel, taps: Taps, ids: Sequence[Ids], prefixes: dict[str, tuple[int, ...]]
    ) -> None:
        self.model, self.taps, self._ids, self._prefixes = model, taps, ids, prefixes
        self._cached: tuple[str, DynamicCache | None] | None = None

    def __call__(self, batch: Batch) -> Tensor:
        """(B, V) logits of the first response token; states and layers are in the taps afterwards."""
        own = [self._ids[row][batch.prefix :] for row in batch.rows]
        # Right padding: a causal model never looks at it, so it needs no mask and shifts no position.
        tokens = torch.zeros(len(own), max(map(len, own)), dtype=torch.long)
        for line, row_ids in zip(tokens, own, strict=True):
            line[: len(row_ids)] = torch.tensor(row_ids)
        arguments = {}
        if batch.prefix:
            arguments["past_key_values"] = for_rows(self._prefix_cache(batch), len(own))
        self.taps.last = torch.tensor([len(row_ids) - 1 for row_ids in own], device=self.model.device)
        output = self.model(input_ids=tokens.to(self.model.device), use_cache=bool(batch.prefix), **arguments)
        return output.logits[:, 0]

    def _prefix_cache(self, batch: Batch) -> DynamicCache:
        if self._cached is None or self._cached[0] != batch.group:
            self._cached = None  # frees the last condition's cache before the next is made
            self._cached = batch.group, prefix_cache(self.model, self.taps, self._prefixes[batch.group])
        cache = self._cached[1]
        if cache is None:
            raise ValueError(f"{type(self.model).__name__} keeps no cache that rows can share")
        return cache


def capture(
    forward: Forward,
    batches: Sequence[Batch],
    *,
    top_k: int,
    save_logits: bool,
    advance: Callable[[int], None],
) -> dict[str, NDArray[np.generic]]:
    """Run a shard's batches; its arrays as `margin.run.shards` describes them.

    `advance` is told of rows done. NotFiniteError names rows that hold a NaN or an infinity anywhere.
    """
    parts: dict[str, list[Tensor]] = {}
    for batch in batches:
        logits = forward(batch).float()
        state, layers = forward.taps.state, forward.taps.layers
        if state is None:
            raise ValueError("the head was not called")
        top = logits.topk(min(top_k, logits.shape[1]), dim=1)
        caught = {
            "state": state.float(),
            "topk_ids": top.indices.int(),
            "topk_logits": top.values,
            "logsumexp": logits.logsumexp(dim=1),
            **{f"layer.{layer}": hidden.float() for layer, hidden in layers.items()},
            **({"logits": logits} if save_logits else {}),
        }
        for name, tensor in caught.items():
            parts.setdefault(name, []).append(tensor.cpu())
        advance(len(batch.rows))
    arrays = {name: torch.cat(tensors).numpy() for name, tensors in parts.items()}
    rows = np.array([row for batch in batches for row in batch.rows], dtype=np.int64)
    finite = np.all(
        [np.isfinite(values).reshape(len(rows), -1).all(axis=1) for values in arrays.values()], axis=0
    )
    if not finite.all():
        raise NotFiniteError(rows[~finite].tolist())
    return {"row": rows} | {
        name: _narrow(values) if name.startswith("layer.") else values for name, values in arrays.items()
    }


def _narrow(states: NDArray[np.float32]) -> NDArray[np.generic]:
    """States in half precision where that keeps every row to `HALF_ERROR`, else as they are."""
    with np.errstate(over="ignore"):  # an overflow makes an infinite error, which is the answer sought
        half = states.astype(np.float16)
    error = np.linalg.norm(half.astype(np.float32) - states, axis=1)
    return half if (error <= HALF_ERROR * np.linalg.norm(states, axis=1)).all() else states
