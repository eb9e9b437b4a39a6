"""Key/value caches of the tokens that all rows of a condition begin with."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from margin.capture.calling import cache_of, call
from margin.capture.hooks import HiddenStateHooks
from margin.capture.placement import input_device


def prefix_cache(
    model: PreTrainedModel, hooks: HiddenStateHooks, prefix: Sequence[int]
) -> DynamicCache | None:
    """The cache after one pass over `prefix`; None where the model keeps none that rows can share."""
    device = input_device(model)
    hooks.expect(torch.tensor([[len(prefix) - 1]], device=device), len(prefix))
    cache = cache_of(model, call(model, torch.tensor([prefix], device=device), keep=True))
    if not isinstance(cache, DynamicCache) or not cache.layers:
        return None
    return cache if all(map(_shareable, cache.layers)) else None


def for_rows(cache: DynamicCache, n_rows: int) -> DynamicCache:
    """A cache for rows that all begin with the prefix: views, nothing is copied before it grows."""
    shared = copy.copy(cache)
    shared.layers = []
    for layer in cache.layers:
        view: Any = copy.copy(layer)
        view.keys = view.keys.expand(n_rows, -1, -1, -1)
        view.values = view.values.expand(n_rows, -1, -1, -1)
        shared.layers.append(view)
    return shared


def _shareable(layer: Any) -> bool:
    """Whether a cache layer is keys and values that grow by concatenation, never in place, and nothing more.

    Subclasses carry more (recurrent state, indexer keys), so the type must match exactly.
    """
    return type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) and layer.keys is not None
