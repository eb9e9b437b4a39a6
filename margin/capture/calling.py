"""How a model is called: by what its forward takes, since architectures and releases differ."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from margin.capture.unquoted import unquoted

CACHES = ("cache", "past_key_values")
"""What forwards and their outputs call their cache: transformers from 5.24 on, and before."""


def arguments_of(module: nn.Module) -> list[str]:
    """Names of what a module's forward takes, in order."""
    return list(inspect.signature(type(module).forward).parameters)[1:]


def cache_argument(module: nn.Module) -> str | None:
    """What a module's forward calls the cache it is given; None where it takes none."""
    taken = arguments_of(module)
    return next((name for name in CACHES if name in taken), None)


def call(model: PreTrainedModel, tokens: Tensor, cache: Any = None, *, keep: bool = False) -> Any:
    """The model's output for token ids (B, T) that follow what `cache` holds, if anything.

    With `keep`, or a cache, it may bring a cache of its own; else it is asked for none, which saves memory.
    """
    arguments: dict[str, Any] = {}
    if "use_cache" in arguments_of(model):
        arguments["use_cache"] = keep or cache is not None
    if cache is not None:
        arguments[str(cache_argument(model))] = cache
    with unquoted():
        return model(input_ids=tokens, **arguments)


def cache_of(model: PreTrainedModel, output: Any) -> Any:
    """The cache in a model's output; None where there is none."""
    name = cache_argument(model)
    return None if name is None else getattr(output, name, None)


def keys_after(cache: Any, length: int, layer: int) -> int:
    """How many keys a block attends to when `length` tokens have been added to what its cache holds.

    Releases before 5.4 ask for the tokens' places, not for their number.
    """
    size: Any = length
    if "cache_position" in inspect.signature(cache.get_mask_sizes).parameters:
        size = torch.arange(length) + cache.get_seq_length(layer)
    return int(cache.get_mask_sizes(size, layer)[0])
