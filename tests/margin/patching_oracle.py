"""Patching and cutting in the slow, plain way: a whole forward pass of one row for each change.

Nothing here rests on how margin does it: a hook that replaces one position, and an attention that leaves a
span of keys out of its softmax.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel

Span = tuple[int, int]


def blocks_of(model: PreTrainedModel) -> nn.ModuleList:
    """The first list of modules in the decoder that is as long as it is deep: the blocks, in these models."""
    lists = [module for module in model.get_decoder().modules() if isinstance(module, nn.ModuleList)]
    depth = model.config.get_text_config(decoder=True).num_hidden_layers
    return next(its for its in lists if len(its) == depth)


def states_of(model: PreTrainedModel, ids: Sequence[int]) -> tuple[list[Tensor], Tensor]:
    """The last position's state before the first block and after each, and the logits there."""
    found: list[Tensor] = []

    def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        found.append((args[0] if args else kwargs["hidden_states"])[0, -1].clone())

    def after(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        found.append((output if isinstance(output, Tensor) else output[0])[0, -1].clone())

    handles = [blocks_of(model)[0].register_forward_pre_hook(before, with_kwargs=True)]
    handles += [block.register_forward_hook(after) for block in blocks_of(model)]
    try:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([list(ids)])).logits[0, -1]
    finally:
        for handle in handles:
            handle.remove()
    return found, logits


def patched_logits(model: PreTrainedModel, ids: Sequence[int], layer: int, state: Tensor) -> Tensor:
    """Logits of a whole pass in which the last position's state after a layer is another."""

    def before(
        module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        hidden = (args[0] if args else kwargs["hidden_states"]).clone()
        hidden[0, -1] = state
        return ((hidden, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": hidden})

    def after(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        hidden = (output if isinstance(output, Tensor) else output[0]).clone()
        hidden[0, -1] = state
        return hidden if isinstance(output, Tensor) else type(output)([hidden, *output[1:]])

    blocks = blocks_of(model)
    if layer == 0:
        handle = blocks[0].register_forward_pre_hook(before, with_kwargs=True)
    else:
        handle = blocks[layer - 1].register_forward_hook(after)
    try:
        with torch.no_grad():
            logits: Tensor = model(input_ids=torch.tensor([list(ids)])).logits[0, -1]
            return logits
    finally:
        handle.remove()


@contextmanager
def attention_without(model: PreTrainedModel, layer: int, span: Span) -> Iterator[None]:
    """A model whose attention is written out by hand, without a span's keys in blocks after `layer`.

    Only for whole passes over one row by a model without windows or caps.
    """

    def attend(
        module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any, **kwargs: Any
    ) -> tuple[Tensor, None]:
        groups = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
        scale = kwargs.get("scaling") or 1 / math.sqrt(query.shape[-1])
        scores = (query @ key.transpose(2, 3)).double() * scale
        for i in range(scores.shape[2]):
            for j in range(scores.shape[3]):
                hidden = module.layer_idx >= layer and i >= span[1] and span[0] <= j < span[1]
                if j > i or hidden:
                    scores[:, :, i, j] = -math.inf
        weights = scores.softmax(dim=-1).to(value.dtype)
        return (weights @ value).transpose(1, 2).contiguous(), None

    AttentionInterface.register("by_hand", attend)
    before = model.config._attn_implementation
    model.set_attn_implementation("by_hand")
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def relative(found: Tensor, expected: Tensor) -> float:
    """Euclidean difference of two vectors, relative to the second."""
    return float((found.double() - expected.double()).norm() / expected.double().norm())


def transfer(patched: Tensor, recipient: Tensor, donor: Tensor) -> float:
    """How far a patch carried the logits from the recipient's to the donor's."""
    p, r, d = (np.asarray(its.double(), dtype=np.float64) for its in (patched, recipient, donor))
    way: NDArray[np.float64] = d - r
    return float((p - r) @ way / (way @ way))
