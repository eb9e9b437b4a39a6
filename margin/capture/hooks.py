"""Hooks that take what is asked for at the last real position of each row, while the model runs.

Nothing is kept of other positions, and the head only ever sees the last ones, so neither all tokens of all
layers nor a (rows, tokens, vocabulary) array is ever held. Because the head is hooked at its input, the state
is what the head sees whatever the architecture puts before it, and the logits are what the architecture makes
of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from margin.capture.calling import arguments_of
from margin.errors import MarginError

WITHOUT_LAYERS = 'its layers cannot be tapped, collect with layers "none"'
"""What to do where an architecture keeps its layers in another form."""


@dataclass
class HiddenStateHooks:
    """What the hooks captured in the latest forward pass."""

    requested: Sequence[int] = ()
    """Layers that are to be captured."""
    length: int = 0
    """Tokens T of each row that the model is run on."""
    positions: Tensor = field(default_factory=lambda: torch.empty(0, 1, dtype=torch.long))
    """(B, K) positions whose states are wanted of each row, the last of its prompt first."""
    states: Tensor | None = None
    """(B, K, d) what the head saw."""
    layers: dict[int, Tensor] = field(default_factory=dict)
    """(B, d) by layer, at the first position: 0 the embeddings' output, L the output of block L."""
    enabled: bool = True
    """Whether the hooks do anything."""
    last_block_at_positions: bool = False
    """Whether the last block runs at these positions only, where its form allows it."""

    def expect(self, positions: Tensor, length: int) -> None:
        """Make ready for a forward pass over tokens (B, `length`) of which these positions (B, K) are wanted.

        What was captured in the last is forgotten.
        """
        self.positions, self.length, self.states, self.layers = positions, length, None, {}

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """The model as if it had no hooks."""
        self.enabled = False
        try:
            yield
        finally:
            self.enabled = True

    def final_states(self) -> Tensor:
        """The states; MarginError where the head was not called, so that there are none."""
        if self.states is None:
            raise MarginError(
                "the model does not call its output embeddings: this architecture is not supported"
            )
        return self.states

    def captured(self) -> dict[str, Tensor]:
        """(B, d) at the first position: "state", and "layer.L" of every layer asked for.

        MarginError, which names it, where the model did not call the head or a layer in this forward pass.
        """
        found = {"state": self.final_states()[:, 0]}
        missing = [str(layer) for layer in self.requested if layer not in self.layers]
        if missing:
            which = f"layer{'s' * (len(missing) > 1)} {', '.join(missing)}"
            raise MarginError(f"the model does not call its {which}: {WITHOUT_LAYERS}")
        return found | {f"layer.{layer}": self.layers[layer] for layer in self.requested}

    def at(self, hidden: Tensor) -> Tensor:
        """(B, T, ...) to (B, K, ...): each row at its positions, on the device where it lies."""
        positions = self.positions.to(hidden.device)
        return hidden[torch.arange(len(positions), device=hidden.device)[:, None], positions]

    def of_rows(self, hidden: Any, what: str, advice: str = WITHOUT_LAYERS) -> Tensor:
        """(B, K, d) of states (B, T, d); MarginError where they are none.

        Some models keep several streams, or put tokens of their own before a row's.
        """
        rows_and_tokens = (len(self.positions), self.length)
        if isinstance(hidden, Tensor) and hidden.ndim == 3 and hidden.shape[:2] == rows_and_tokens:
            return self.at(hidden)
        shape = tuple(hidden.shape) if isinstance(hidden, Tensor) else type(hidden).__name__
        raise MarginError(f"{what} is no state for each row and token (it is {shape}): {advice}")

    def restrict_to_positions(self) -> None:
        """From here on in this forward pass the model holds these positions and no others."""
        n_rows, count = self.positions.shape
        self.length = count
        self.positions = torch.arange(count, device=self.positions.device).expand(n_rows, count)


@contextmanager
def hidden_state_hooks(model: PreTrainedModel, layers: Sequence[int]) -> Iterator[HiddenStateHooks]:
    """Hook the head and the given layers; the hooks are gone afterwards, whatever happens."""
    hooks = HiddenStateHooks(tuple(layers))
    blocks = decoder_blocks(model) if layers else nn.ModuleList()

    def before_head(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if not hooks.enabled:
            return None
        states = args[0] if args else None
        hooks.states = hooks.of_rows(states, "what the head sees", "this architecture is not supported")
        return (hooks.states, *args[1:])

    def before_first(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if hooks.enabled:
            hidden = args[0] if args else kwargs.get(arguments_of(module)[0])
            hooks.layers[0] = hooks.of_rows(hidden, "layer 0")[:, 0]

    with ExitStack() as handles:
        handles.callback(head_module(model).register_forward_pre_hook(before_head).remove)
        for layer in layers:
            if layer == 0:
                handle = blocks[0].register_forward_pre_hook(before_first, with_kwargs=True)
            else:
                handle = blocks[layer - 1].register_forward_hook(_after_block(hooks, layer))
            handles.callback(handle.remove)
        yield hooks


def _after_block(hooks: HiddenStateHooks, layer: int) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
    def after(module: nn.Module, args: tuple[Any, ...], output: Tensor | tuple[Tensor, ...]) -> None:
        if hooks.enabled:
            hidden = output[0] if isinstance(output, tuple | list) else output
            hooks.layers[layer] = hooks.of_rows(hidden, f"layer {layer}")[:, 0]

    return after


def head_module(model: PreTrainedModel) -> nn.Module:
    """The module that makes logits of final states."""
    head: nn.Module | None = model.get_output_embeddings()
    if head is None:
        raise MarginError(f"{type(model).__name__} has no output embeddings: it makes no next-token logits")
    return head


def decoder_blocks(model: PreTrainedModel) -> nn.ModuleList:
    """The text decoder's blocks, in order: the first module list below it that is as long as it is deep.

    Below the decoder, since a vision tower may be as deep; some architectures call another part so, then
    below the whole. That these are the blocks is proved by running (`margin.capture.verification`).
    """
    depth = n_layers(model)
    for module in chain(model.get_decoder().modules(), model.modules()):
        if isinstance(module, nn.ModuleList) and len(module) == depth:
            return module
    raise MarginError(f"{type(model).__name__} keeps no list of {depth} blocks: {WITHOUT_LAYERS}")


def n_layers(model: PreTrainedModel) -> int:
    """Number of decoder blocks."""
    depth = getattr(model.config.get_text_config(decoder=True), "num_hidden_layers", None)
    if not isinstance(depth, int):
        raise MarginError(f"{type(model).__name__} does not say how many layers it has: it is not supported")
    return depth
