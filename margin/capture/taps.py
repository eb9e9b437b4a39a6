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

    positions: Tensor
    """(B, K) positions whose states are wanted of each row, the last of its prompt first; to be set before
    each forward pass."""
    states: Tensor | None = None
    """(B, K, d) what the head saw."""
    layers: dict[int, Tensor] = field(default_factory=dict)
    """(B, d) by layer, at the first position: 0 the embeddings' output, L the output of block L."""
    awake: bool = True
    """Whether the hooks do anything."""
    narrow: bool = False
    """Whether the last block runs at these positions only, where its form allows it."""

    @contextmanager
    def asleep(self) -> Iterator[None]:
        """The model as if it were not tapped."""
        self.awake = False
        try:
            yield
        finally:
            self.awake = True

    def caught_states(self) -> Tensor:
        """The states; MarginError where the head was not called, so that none were caught."""
        if self.states is None:
            raise MarginError(
                "the model does not call its output embeddings: this architecture is not supported"
            )
        return self.states

    def at(self, hidden: Tensor) -> Tensor:
        """(B, T, ...) to (B, K, ...): each row at its positions, on the device where it lies."""
        positions = self.positions.to(hidden.device)
        return hidden[torch.arange(len(positions), device=hidden.device)[:, None], positions]

    def only_positions(self) -> None:
        """From here on in this forward pass the model holds these positions and no others."""
        n_rows, count = self.positions.shape
        self.positions = torch.arange(count, device=self.positions.device).expand(n_rows, count)


@contextmanager
def tapped(model: PreTrainedModel, layers: Sequence[int]) -> Iterator[Taps]:
    """Tap the head and the given layers; the hooks are gone afterwards, whatever happens."""
    taps = Taps(positions=torch.empty(0, 1, dtype=torch.long))
    blocks = decoder_blocks(model) if layers else nn.ModuleList()

    def before_head(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if not taps.awake:
            return None
        taps.states = taps.at(args[0])
        return (taps.states, *args[1:])

    def before_first(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if taps.awake:
            taps.layers[0] = taps.at(args[0] if args else kwargs["hidden_states"])[:, 0]

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
            taps.layers[layer] = taps.at(output[0] if isinstance(output, tuple) else output)[:, 0]

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
