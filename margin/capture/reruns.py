"""Rows run again by the plain forward pass, to hold another engine's states against."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from margin.capture.calling import arguments_of, call
from margin.capture.hooks import decoder_blocks, head_module, hidden_state_hooks
from margin.capture.placement import input_device
from margin.capture.plan import Ids
from margin.errors import MarginError
from margin.inputs.rows import Row

STATE = "state"
"""What the head sees, after the final norm."""
TOGETHER = 256
"""States that go through the final norm at once."""

Everywhere = Mapping[str, Tensor]
"""(T, d) float32 states of a row at all its positions, by `STATE` or the layer's name."""
Again = Callable[[Ids], Everywhere]
"""Token ids of a row to its states."""


def layer_name(layer: int) -> str:
    """What the states of a layer are called in a run."""
    return f"layer.{layer}"


def rows_to_compare(rows: Sequence[Row], repeated: Sequence[int], count: int, seed: int) -> list[int]:
    """`repeated` rows, and `count` others drawn at random: of every condition in turn, as far as they go."""
    rng = np.random.default_rng(seed)
    left: dict[str, list[int]] = {}
    for row in rng.permutation(len(rows)).tolist():
        if row not in repeated:
            left.setdefault(rows[row].condition, []).append(row)
    turns = sorted((turn, row) for its in left.values() for turn, row in enumerate(its))
    return sorted([*repeated, *(row for _, row in turns[:count])])


@contextmanager
def running_again(model: PreTrainedModel, layers: Sequence[int]) -> Iterator[Again]:
    """A function that runs one row by itself and gives its states at all positions.

    No position is left out and nothing is shared, cached or padded: the model's own forward pass.
    """
    seen: dict[str, Tensor] = {}

    def keep(name: str, hidden: object) -> None:
        if not isinstance(hidden, Tensor) or hidden.ndim != 3 or len(hidden) != 1:
            raise MarginError(f"{type(model).__name__} gives {name} as no state for each token")
        seen[name] = hidden[0].float().cpu()

    blocks = decoder_blocks(model) if layers else nn.ModuleList()
    handles = [head_module(model).register_forward_pre_hook(lambda module, args: keep(STATE, args[0]))]
    for layer in layers:
        name = layer_name(layer)
        if layer == 0:
            handles.append(blocks[0].register_forward_pre_hook(_entering(keep, name), with_kwargs=True))
        else:
            handles.append(blocks[layer - 1].register_forward_hook(_leaving(keep, name)))

    def again(ids: Ids) -> Everywhere:
        seen.clear()
        call(model, torch.tensor([list(ids)], device=input_device(model)))
        return dict(seen)

    try:
        yield again
    finally:
        for handle in handles:
            handle.remove()


def _entering(keep: Callable[[str, object], None], name: str) -> Callable[..., None]:
    def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        keep(name, args[0] if args else kwargs.get(arguments_of(module)[0]))

    return before


def _leaving(keep: Callable[[str, object], None], name: str) -> Callable[..., None]:
    def after(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        keep(name, output[0] if isinstance(output, tuple | list) else output)

    return after


def after_last_block(model: PreTrainedModel, hidden: Tensor) -> Tensor:
    """(n, d) what the head sees of states (n, d) that the last block puts out: the model's own final norm.

    Each state is put in the place of the last block's output in a pass over one token. MarginError where the
    model does not take it.
    """
    last = decoder_blocks(model)[-1]
    given = hidden

    def put(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        there = output[0] if isinstance(output, tuple | list) else output
        if there.shape != (len(given), 1, given.shape[1]):
            raise MarginError(
                f"the last block of {type(model).__name__} puts out states of shape {tuple(there.shape)}: "
                "give states as the head sees them, after the final norm"
            )
        new = given[:, None].to(there)
        return (new, *output[1:]) if isinstance(output, tuple | list) else new

    found = []
    with hidden_state_hooks(model, []) as hooks:
        handle = last.register_forward_hook(put)
        try:
            for given in torch.split(hidden, TOGETHER):
                tokens = torch.zeros(len(given), 1, dtype=torch.long, device=input_device(model))
                hooks.expect(torch.zeros_like(tokens), 1)
                call(model, tokens)
                found.append(hooks.final_states()[:, 0].float().cpu())
        finally:
            handle.remove()
    return torch.cat(found)
