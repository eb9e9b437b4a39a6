"""The last decoder block at the wanted positions only.

After the last block nothing looks at other positions any more, so of the others it owes only keys and values:
its queries, its output projection and its feed-forward network may leave them out. The block is run twice.
Over all positions, until its attention hands keys and values to the cache (they carry the architecture's own
norms and rotations by then), where it is stopped; then from the start over the wanted positions, when the
cache answers with what it was handed before.

Whether a model allows it is asked of its form here, and proved on real rows before the loop
(`margin.capture.verification`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from margin.capture.calling import arguments_of, cache_argument
from margin.capture.forwards import replaced_forwards
from margin.capture.hooks import HiddenStateHooks, decoder_blocks
from margin.errors import MarginError

KERNELS = ("sdpa", "eager")
"""Attention implementations that take any mask."""
NEEDED = {"hidden_states", "attention_mask"}
PLACES = {"attention_mask", "position_embeddings", "position_ids", "cache_position"}
"""Those of them that differ between positions."""
KNOWN = NEEDED | PLACES | {"use_cache", "output_attentions", "kwargs"}
"""Arguments of a block, beside its cache, whose meaning at one position is known. `cache_position` tells the
cache where to write, which is done when the block is stopped: what answers in its place does not read it."""


class _HandedOverError(Exception):
    """The attention has handed over its keys and values: it need not go on."""


class _Recorder(DynamicCache):
    """In place of the cache, if any: keeps what the block's attention attends to, then answers with it."""

    def __init__(self, cache: Any) -> None:
        super().__init__()
        self._cache = cache
        self.kept: tuple[Tensor, Tensor] | None = None

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """All keys and values, of which there are new ones the first time only."""
        if self.kept is not None:
            return self.kept
        self.kept = key_states, value_states
        if self._cache is not None:
            self.kept = self._cache.update(key_states, value_states, layer_idx, *args, **kwargs)
        raise _HandedOverError


def form_of_last_block(model: PreTrainedModel) -> str | None:
    """What in a model's form stands against running its last block at some positions only, if anything."""
    if model.config._attn_implementation not in KERNELS:
        return f"{model.config._attn_implementation} attention takes no mask of single positions"
    try:
        block = decoder_blocks(model)[-1]
    except MarginError:
        return "the model keeps no list of its blocks"
    attention = getattr(block, "self_attn", None)
    cache, taken = cache_argument(block), set(arguments_of(block))
    if not isinstance(attention, nn.Module) or cache is None or not NEEDED <= taken - {cache} <= KNOWN:
        return "the last block is of no known form"
    return None


@contextmanager
def last_block_hook(model: PreTrainedModel, hooks: HiddenStateHooks) -> Iterator[None]:
    """Let the last block run at the wanted positions only, while the hooks say so; as it was afterwards."""
    if form_of_last_block(model) is not None:
        yield
        return
    block = decoder_blocks(model)[-1]
    whole, cache = block.forward, str(cache_argument(block))

    def forward(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        others = kwargs.keys() - PLACES
        unknown = bool(args) or any(isinstance(kwargs[name], Tensor) for name in others)
        leaves_out = hooks.positions.shape[1] < hidden_states.shape[1]
        if not (hooks.enabled and hooks.last_block_at_positions and leaves_out) or unknown:
            return whole(hidden_states, *args, **kwargs)
        recorder = _Recorder(kwargs.get(cache))
        try:  # a block that shares another's keys and values comes to its end, and that is the plain output
            return whole(hidden_states, **kwargs | {cache: recorder})
        except _HandedOverError:
            pass
        fewer = _at_positions(hooks, kwargs, hidden_states, recorder)
        output = whole(hooks.at(hidden_states), **fewer | {cache: recorder})
        hooks.restrict_to_positions()
        return output

    with replaced_forwards([(block, forward)]):
        yield


def _at_positions(
    hooks: HiddenStateHooks, kwargs: dict[str, Any], hidden: Tensor, recorder: _Recorder
) -> dict[str, Any]:
    """The block's other arguments, of the wanted positions only."""
    if recorder.kept is None:
        raise ValueError("nothing was handed over")
    mask = kwargs.get("attention_mask")
    if mask is None:  # the kernel would have masked what lies behind each position
        n_keys = recorder.kept[0].shape[-2]
        places = torch.arange(n_keys, device=hidden.device)
        positions = hooks.positions.to(hidden.device)
        mask = (places <= (positions + n_keys - hidden.shape[1])[..., None])[:, None]
    else:
        mask = hooks.at(mask.expand(len(hidden), -1, -1, -1).transpose(1, 2)).transpose(1, 2)
    found = kwargs | {"attention_mask": mask}
    for name in ("position_embeddings", "position_ids"):
        whole = kwargs.get(name)
        if isinstance(whole, Tensor):
            found[name] = hooks.at(whole.expand(len(hidden), *whole.shape[1:]))
        elif whole is not None:
            found[name] = tuple(hooks.at(part.expand(len(hidden), *part.shape[1:])) for part in whole)
    return found
