"""Taps: hooks that take what is asked for at the last real position of each row, while the model runs.

Nothing is kept of other positions, and the head only ever sees the last ones, so neither all tokens of all
layers nor a (rows, tokens, vocabulary) array is ever held. Because the head is tapped at its input, the state
is what the head sees whatever the architecture puts before it, and the logits are what the architecture makes
of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from margin.errors import MarginError


@dataclass
class Taps:
    """What the hooks caught in the latest forward pass."""

    last: Tensor
    """(B,) position of each row's last real token; to be set before each forward pass."""
    state: Tensor | None = None
    """(B, d) what the head saw."""
    layers: dict[int, Tensor] = field(default_factory=dict)
    """(B, d) by layer: 0 the embeddings' output, L the output of block L."""
    awake: bool = True
    """Whether the hooks do anything."""

    @contextmanager
    def asleep(self) -> Iterator[None]:
        """The model as if it were not tapped."""
        self.awake = False
        try:
            yield
        finally:
            self.awake = True

    def caught_state(self) -> Tensor:
        """The state; MarginError where the head was not called, so that none was caught."""
        if self.state is None:
            raise MarginError(
                "the model does not call its output embeddings: this architecture is not supported"
            )
        return self.state

    def at_last(self, hidden: Tensor) -> Tensor:
        """(B, T, d) to (B, d): each row at its last real position."""
        last = self.last.to(hidden.device)
        return hidden[torch.arange(len(last), device=hidden.device), last]


@contextmanager
def tapped(model: PreTrainedModel, layers: Sequence[int]) -> Iterator[Taps]:
    """Tap the head and the given layers; the hooks are gone afterwards, whatever happens."""
    taps = Taps(last=torch.empty(0, dtype=torch.long))
    blocks = decoder_blocks(model) if layers else nn.ModuleList()

    def before_head(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if not taps.awake:
            return None
        taps.state = taps.at_last(args[0])
        return (taps.state[:, None], *args[1:])

    def before_first(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if taps.awake:
            taps.layers[0] = taps.at_last(args[0] if args else kwargs["hidden_states"])

    with ExitStack() as hooks:
        hooks.callback(head_module(model).register_forward_pre_hook(before_head).remove)
        for layer in layers:
            if layer == 0:
                handle = blocks[0].register_forward_pre_hook(before_first, with_kwargs=True)
            else:
                handle = blocks[layer - 1].register_forward_hook(_after_block(taps, layer))
            hooks.callback(handle.remove)
        yield taps


def _after_block(taps: Taps, layer: int) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
    def after(module: nn.Module, args: tuple[Any, ...], output: Tensor | tuple[Tensor, ...]) -> None:
        if taps.awake:
            taps.layers[layer] = taps.at_last(output[0] if isinstance(output, tuple) else output)

    return after


def head_module(model: PreTrainedModel) -> nn.Module:
    """The module that makes logits of final states."""
    head = model.get_output_embeddings()
    if head is None:
        raise MarginError(f"{type(model).__name__} has no output embeddings: it makes no next-token logits")
    return head


def decoder_blocks(model: PreTrainedModel) -> nn.ModuleList:
    """The decoder's blocks, in order: the module list as long as the text decoder is deep."""
    depth = n_layers(model)
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == depth:
            return module
    raise MarginError(
        f"{type(model).__name__} keeps no list of {depth} blocks: its layers cannot be tapped, collect with "
        'layers "none"'
    )


def n_layers(model: PreTrainedModel) -> int:
    """Number of decoder blocks."""
    return int(model.config.get_text_config(decoder=True).num_hidden_layers)
