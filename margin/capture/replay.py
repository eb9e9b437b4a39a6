"""The last position again, from some block on, without the others.

What follows a changed state of the last position depends, of all other positions, on their keys and values
only, which a causal model made without looking at it. A pass over rows is recorded: what each block's
attention attends to, and what it was told of the last position. Then each block is run at that position
alone, all changes of all layers side by side as if they were tokens, each of which sees the row's earlier
positions and itself. The model's own code before the first block and after the last is run as it is.

Whether a model allows it is asked of its form here, and proved on real rows before it is used
(`margin.capture.trace_ways`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from margin.capture.calling import arguments_of, cache_argument, call
from margin.capture.forwards import replaced_forwards
from margin.capture.hooks import HiddenStateHooks, decoder_blocks, head_module
from margin.capture.interventions import as_mask
from margin.capture.last_block import KERNELS, KNOWN, NEEDED, PLACES
from margin.capture.placement import input_device
from margin.errors import MarginError


@dataclass
class Seen:
    """What one block was given, of the last position of each row."""

    keys: Tensor
    """(B, heads, K, d) of all positions."""
    values: Tensor
    mask: Tensor | None = None
    """(B or 1, 1, 1, K) what the last position attends to, itself left out."""
    arguments: dict[str, Any] = field(default_factory=dict)
    """The block's other arguments."""


class _Listening(DynamicCache):
    """In place of the cache, if any: keeps what the block's attention attends to."""

    def __init__(self, cache: Any) -> None:
        super().__init__()
        self._cache = cache
        self.kept: tuple[Tensor, Tensor] | None = None

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """All keys and values."""
        self.kept = key_states, value_states
        if self._cache is not None:
            self.kept = self._cache.update(key_states, value_states, layer_idx, *args, **kwargs)
        return self.kept


class _Answering(DynamicCache):
    """In place of the cache: puts what was seen before what is new."""

    def __init__(self, seen: Seen) -> None:
        super().__init__()
        self._seen = seen

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """All keys and values."""
        return (
            torch.cat([self._seen.keys, key_states], dim=2),
            torch.cat([self._seen.values, value_states], dim=2),
        )


def why_no_replay(model: PreTrainedModel) -> str | None:
    """What in a model's form stands against running its blocks at the last position only, if anything."""
    if model.config._attn_implementation not in KERNELS:
        return f"{model.config._attn_implementation} attention takes no mask of single positions"
    try:
        blocks = decoder_blocks(model)
    except MarginError:
        return "the model keeps no list of its blocks"
    for block in blocks:
        cache, taken = cache_argument(block), set(arguments_of(block))
        if not isinstance(getattr(block, "self_attn", None), nn.Module):
            return "not every block is one of attention and a network"
        if cache is None or not NEEDED <= taken - {cache} <= KNOWN:
            return "its blocks are of no known form"
    return None


class Replay:
    """Records passes of a model, and runs its blocks again at the last position; made by `replaying`."""

    def __init__(self, model: PreTrainedModel, hooks: HiddenStateHooks) -> None:
        self._model, self._hooks = model, hooks
        self._blocks = decoder_blocks(model)
        self._wholes: list[Callable[..., Any]] = [block.forward for block in self._blocks]
        self._recorded: dict[int, Seen] | None = None
        self._changes: Mapping[int, Tensor] = {}
        self._passed: list[Seen] = []

    @contextmanager
    def recording(self) -> Iterator[dict[int, Seen]]:
        """What each block is given in the latest pass of this block of code, by its place."""
        found: dict[int, Seen] = {}
        self._recorded = found
        try:
            yield found
        finally:
            self._recorded = None

    def __call__(self, seen: Mapping[int, Seen], changes: Mapping[int, Tensor]) -> Tensor:
        """(B, Q, d) final states where the last position's state after a layer is another.

        Parameters
        ----------
        seen : what was recorded of a pass over B rows.
        changes : (B, c, d) the states to go on with, by layer, 0 to n. The Q results come in the order of
            the layers.

        Cost: one token a change and block that follows it.
        """
        self._changes = {layer: changes[layer] for layer in sorted(changes)}
        self._passed = [seen[index] for index in range(len(self._blocks))]
        found: list[Tensor] = []

        def before_head(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
            found.append(args[0])
            return (args[0][:, :1], *args[1:])  # no logits are wanted, but a head must see something

        handle = head_module(self._model).register_forward_pre_hook(before_head, prepend=True)
        n_rows = len(next(iter(changes.values())))
        tokens = torch.zeros(n_rows, 1, dtype=torch.long, device=input_device(self._model))
        try:
            with self._hooks.disabled():
                call(self._model, tokens)
        finally:
            handle.remove()
            self._passed = []
        return found[0]

    def forward(self, index: int, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        """What stands in place of a block's own."""
        whole, cache = self._wholes[index], str(cache_argument(self._blocks[index]))
        if self._passed:
            return self._again(index, hidden_states)
        if self._recorded is None:
            return whole(hidden_states, *args, **kwargs)
        others = kwargs.keys() - PLACES - {cache}
        if args or any(isinstance(kwargs[name], Tensor) for name in others):
            raise ValueError("a block is called in another way than is known")
        listening = _Listening(kwargs.get(cache))
        output = whole(hidden_states, **kwargs | {cache: listening})
        if listening.kept is None:
            raise ValueError("a block's attention hands nothing to the cache")
        self._recorded[index] = self._of_last(kwargs, hidden_states, listening.kept, cache)
        return output

    def _of_last(
        self, kwargs: dict[str, Any], hidden: Tensor, kept: tuple[Tensor, Tensor], cache: str
    ) -> Seen:
        """A block's arguments at the last position of each row."""
        hooks, n_keys = self._hooks, kept[0].shape[2]
        own = hooks.positions[:, :1].to(hidden.device) + n_keys - hidden.shape[1]  # where its own key lies
        places = torch.arange(n_keys, device=hidden.device)
        mask = kwargs.get("attention_mask")
        if mask is None:  # the kernel would have masked what lies behind each position
            mask = as_mask((places < own)[:, None, None], self._model, hidden)
        else:
            mask = hooks.at(mask.expand(len(hidden), -1, -1, -1).transpose(1, 2)).transpose(1, 2)[:, :, :1]
            itself = (places == own)[:, None, None]
            if mask.shape[-1] != n_keys:
                raise ValueError("a mask of another length than there are keys")
            if mask.dtype == torch.bool:
                mask = mask & ~itself
            else:
                mask = mask.masked_fill(itself, torch.finfo(mask.dtype).min)
        found = {name: value for name, value in kwargs.items() if name not in ("attention_mask", cache)}
        for name in ("position_embeddings", "position_ids"):
            given = kwargs.get(name)
            if isinstance(given, Tensor):
                found[name] = hooks.at(given.expand(len(hidden), *given.shape[1:]))[:, :1]
            elif given is not None:
                found[name] = tuple(
                    hooks.at(part.expand(len(hidden), *part.shape[1:]))[:, :1] for part in given
                )
        return Seen(*kept, mask, found)

    def _again(self, index: int, hidden: Tensor) -> Any:
        """A block at the last position, for all changes of layers up to its input."""
        width = sum(its.shape[1] for layer, its in self._changes.items() if layer < index)
        parts = [hidden] if width else []
        parts += [self._changes[index].to(hidden.device, hidden.dtype)] if index in self._changes else []
        last = self._changes.get(index + 1) if index + 1 == len(self._blocks) else None
        if not parts:
            return hidden if last is None else last.to(hidden)
        going = torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]
        count, seen = going.shape[1], self._passed[index]
        assert seen.mask is not None
        each = torch.eye(count, dtype=torch.bool, device=hidden.device)[None, None]
        if seen.mask.dtype == torch.bool:
            new = each.expand(len(going), 1, -1, -1)
        else:
            new = torch.zeros(each.shape, dtype=seen.mask.dtype, device=hidden.device)
            new = new.masked_fill(~each, torch.finfo(seen.mask.dtype).min).expand(len(going), 1, -1, -1)
        mask = torch.cat([seen.mask.expand(len(going), 1, count, -1), new], dim=3)
        arguments = dict(seen.arguments)
        for name in ("position_embeddings", "position_ids"):
            given = arguments.get(name)
            if isinstance(given, Tensor):
                arguments[name] = given.expand(len(going), count, *given.shape[2:])
            elif given is not None:
                arguments[name] = tuple(part.expand(len(going), count, *part.shape[2:]) for part in given)
        cache = str(cache_argument(self._blocks[index]))
        output = self._wholes[index](going, **arguments | {"attention_mask": mask, cache: _Answering(seen)})
        if last is None:
            return output
        if isinstance(output, tuple):
            return (torch.cat([output[0], last.to(output[0])], dim=1), *output[1:])
        return torch.cat([output, last.to(output)], dim=1)


@contextmanager
def replaying(model: PreTrainedModel, hooks: HiddenStateHooks) -> Iterator[Replay]:
    """A model whose passes can be recorded and replayed; as it was afterwards.

    ValueError while recording where its blocks are called in a way that is not known.
    """
    replay = Replay(model, hooks)
    blocks = decoder_blocks(model)
    with replaced_forwards((block, partial(replay.forward, index)) for index, block in enumerate(blocks)):
        yield replay
