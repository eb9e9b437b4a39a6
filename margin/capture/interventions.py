"""Interventions: a model with some of its states, or of its attention, changed while a block of code runs.

Each is one hook, which is gone afterwards whatever happens; between calls the model keeps nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Cache, PreTrainedModel

from margin.capture.calling import arguments_of, keys_after
from margin.capture.hooks import decoder_blocks
from margin.capture.last_block import KERNELS
from margin.errors import MarginError


@dataclass(frozen=True, eq=False)
class Replace:
    """The state after block `layer` (0: the embeddings' output) becomes another."""

    layer: int
    states: Tensor
    """(d,) the same for all rows, or (B, d)."""

    def __call__(self, states: Tensor) -> Tensor:
        """(B, K, d) to the same."""
        return _as_rows(self.states, states).expand_as(states)


@dataclass(frozen=True, eq=False)
class Add:
    """A vector is added to the state after block `layer`."""

    layer: int
    vector: Tensor
    """(d,) or (B, d)."""
    dose: float = 1.0
    """Factor on the vector; 0 changes nothing, bit for bit."""

    def __call__(self, states: Tensor) -> Tensor:
        """(B, K, d) to the same."""
        return states + self.dose * _as_rows(self.vector, states)


@dataclass(frozen=True, eq=False)
class ProjectOut:
    """The part of the state after block `layer` along a direction becomes that of a centre.

    Taken to 0 instead, it would also lose what all states share, which is most of their length.
    """

    layer: int
    direction: Tensor
    """(d,) or (B, d), of any length but 0."""
    centre: Tensor | None = None
    """(d,) or (B, d); the origin unless given."""

    def __call__(self, states: Tensor) -> Tensor:
        """(B, K, d) to the same."""
        direction = _as_rows(self.direction, states)
        unit = direction / direction.norm(dim=-1, keepdim=True)
        away = states if self.centre is None else states - _as_rows(self.centre, states)
        found: Tensor = states - (away * unit).sum(dim=-1, keepdim=True) * unit
        return found


@dataclass(frozen=True)
class Cut:
    """In all blocks after `layer` no position behind a span attends to it (Geva et al., 2023, attention
    knockout)."""

    layer: int
    span: tuple[int, int]
    """Positions from, and up to without, counted from the beginning of the text."""


Change = Replace | Add | ProjectOut
Intervention = Change | Cut


@contextmanager
def patching(
    model: PreTrainedModel,
    interventions: Intervention | Sequence[Intervention],
    positions: int | Sequence[int] | None = -1,
) -> Iterator[None]:
    """Run a model with interventions; as it was afterwards, also where the block raises.

    Parameters
    ----------
    model : any decoder of transformers that keeps its blocks in a list.
    interventions : one, or several, which take effect in their order.
    positions : where states change, of the tokens of each call: one place for all rows, one a row, or None
        for all places. -1 is the last: with `generate` that is the end of the prompt, and then each token.

    Raises
    ------
    MarginError : a layer that the model has not; when it runs, a state that is none for each row and token,
        or attention that takes no mask of single positions.

    Example
    -------
    >>> import torch
    >>> from margin.capture import Add, patching
    >>> from margin.capture.checkpoint import load_checkpoint
    >>> from margin.demo import checkpoint_path
    >>> model = load_checkpoint(checkpoint_path("cotrained")).model
    >>> tokens, vector = torch.tensor([[5, 6, 7]]), torch.ones(model.config.hidden_size)
    >>> with torch.no_grad(), patching(model, Add(2, vector, dose=4.0)):
    ...     steered = model(input_ids=tokens).logits
    >>> bool((steered != model(input_ids=tokens).logits).any())
    True
    """
    several = interventions if isinstance(interventions, Sequence) else [interventions]
    blocks = decoder_blocks(model)
    for its in several:
        if not 0 <= its.layer <= len(blocks):
            raise MarginError(f"there is no layer {its.layer}: this model has layers 0 to {len(blocks)}")
    if any(isinstance(its, Cut) for its in several) and (against := why_no_cut(model)) is not None:
        raise MarginError(f"{type(model).__name__} cannot have its attention cut: {against}")
    with ExitStack() as handles:
        for its in several:
            if isinstance(its, Cut):
                for index in range(its.layer, len(blocks)):
                    hook = _without_span(model, index, its.span)
                    handle = blocks[index].register_forward_pre_hook(hook, with_kwargs=True)
                    handles.callback(handle.remove)
            elif its.layer == 0:
                before = _before_block(its, positions)
                handle = blocks[0].register_forward_pre_hook(before, with_kwargs=True)
                handles.callback(handle.remove)
            else:
                after = _after_block(its, positions)
                handles.callback(blocks[its.layer - 1].register_forward_hook(after).remove)
        yield


def why_no_cut(model: PreTrainedModel) -> str | None:
    """What in a model's form stands against cutting its attention, if anything."""
    if model.config._attn_implementation not in KERNELS:
        return f"{model.config._attn_implementation} attention takes no mask of single positions"
    if not all("attention_mask" in arguments_of(block) for block in decoder_blocks(model)):
        return "its blocks take no attention mask"
    return None


def _as_rows(vector: Tensor, states: Tensor) -> Tensor:
    """(d,) or (B, d) as (1 or B, 1, d), as the states are."""
    vector = vector.to(states.device, states.dtype)
    return vector[None, None] if vector.ndim == 1 else vector[:, None]


def _changed(hidden: Any, change: Change, positions: int | Sequence[int] | None) -> Tensor:
    if not (isinstance(hidden, Tensor) and hidden.ndim == 3):
        shape = tuple(hidden.shape) if isinstance(hidden, Tensor) else type(hidden).__name__
        raise MarginError(
            f"layer {change.layer} is no state for each row and token (it is {shape}): this architecture "
            "cannot be patched"
        )
    if positions is None:
        return change(hidden)
    rows = torch.arange(len(hidden), device=hidden.device)
    places = torch.as_tensor(positions, device=hidden.device).expand(len(hidden))
    changed = hidden.clone()
    changed[rows, places] = change(hidden[rows, places][:, None])[:, 0]
    return changed


def _before_block(
    change: Change, positions: int | Sequence[int] | None
) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], tuple[tuple[Any, ...], dict[str, Any]]]:
    def before(
        module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if args:
            return (_changed(args[0], change, positions), *args[1:]), kwargs
        name = arguments_of(module)[0]
        return args, {**kwargs, name: _changed(kwargs.get(name), change, positions)}

    return before


def _after_block(
    change: Change, positions: int | Sequence[int] | None
) -> Callable[[nn.Module, tuple[Any, ...], Any], Any]:
    def after(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        if isinstance(output, tuple | list):
            return type(output)([_changed(output[0], change, positions), *output[1:]])
        return _changed(output, change, positions)

    return after


def _without_span(
    model: PreTrainedModel, index: int, span: tuple[int, int]
) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], tuple[tuple[Any, ...], dict[str, Any]]]:
    """A hook that gives a block a mask in which positions behind the span do not see it."""

    def before(
        module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        given = dict(zip(arguments_of(module), args, strict=False)) | kwargs
        hidden, mask = given[arguments_of(module)[0]], given.get("attention_mask")
        cache = next((value for value in given.values() if isinstance(value, Cache)), None)
        length = hidden.shape[1]
        seen = 0 if cache is None else int(cache.get_seq_length(index))
        if mask is None:  # the kernel would have masked what lies behind each position
            n_keys = length if cache is None else keys_after(cache, length, index)
        elif isinstance(mask, Tensor) and mask.ndim == 4 and mask.shape[2] == length:
            n_keys = mask.shape[3]
        else:
            shape = tuple(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
            raise MarginError(
                f"{type(model).__name__} cannot have its attention cut: a block takes a mask of another form "
                f"({shape})"
            )
        keys = torch.arange(n_keys, device=hidden.device) + (seen + length - n_keys)
        queries = torch.arange(length, device=hidden.device)[:, None] + seen
        if mask is None:
            mask = as_mask((keys <= queries)[None, None], model, hidden)
        blocked = (queries >= span[1]) & (keys >= span[0]) & (keys < span[1])
        if mask.dtype == torch.bool:
            mask = mask & ~blocked
        else:
            mask = mask.masked_fill(blocked, torch.finfo(mask.dtype).min)
        names = arguments_of(module)
        if (place := names.index("attention_mask")) < len(args):
            return (*args[:place], mask, *args[place + 1 :]), kwargs
        return args, {**kwargs, "attention_mask": mask}

    return before


def as_mask(seen: Tensor, model: PreTrainedModel, hidden: Tensor) -> Tensor:
    """A mask of what is seen, bool, as the model's attention takes it."""
    if model.config._attn_implementation != "eager":
        return seen
    nothing = torch.zeros(seen.shape, dtype=hidden.dtype, device=hidden.device)
    return nothing.masked_fill(~seen, torch.finfo(hidden.dtype).min)
