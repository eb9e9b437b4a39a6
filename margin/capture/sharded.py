"""A model whose weights FSDP2 or ZeRO-3 keeps in parts on several ranks, whole on the first for a while.

The first then runs it as any other model, by its plain forward pass, while the others wait: what is measured
is what a checkpoint of it would hold, in the precision that the weights are kept in, whatever a policy has
them computed in.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import torch
from accelerate.utils import gather_object
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from margin.capture.budget import free_memory
from margin.capture.placement import joined
from margin.capture.zero3 import gathered, is_of_zero3, shape_of
from margin.errors import MarginError, words

T = TypeVar("T")

ROOM = 1.2
"""Memory a whole copy needs, of its weights: with what runs through it."""
GB = 10**9
_HOST = torch.device("cpu")
_SWAPPED = ("_parameters", "_buffers", "_forward_pre_hooks", "_forward_hooks")
"""What a module holds that sharding has changed, or that lies elsewhere than the whole copy."""
_SHARDERS = ("torch.distributed.fsdp", "deepspeed.")
"""Where the hooks are from that gather a module's weights for its pass, and cast what goes through it."""


def is_sharded(model: nn.Module) -> bool:
    """Whether FSDP2 (`fully_shard`) or ZeRO-3 has the model, or a part of it, in its hands."""
    by_fsdp2 = any(isinstance(module, FSDPModule) for module in model.modules())
    return by_fsdp2 or any(is_of_zero3(weight) for weight in model.parameters())


@contextmanager
def assembled(model: nn.Module, first: bool) -> Iterator[None]:
    """On the first rank the model whole and without its sharding; afterwards as it was, weight by weight.

    All ranks must enter together; they gather one weight at a time, of which the others keep none. The copy
    lies on the device that the model is computed on, or on the host where that has no room. A model that is
    not sharded is left alone, and nothing is asked of the others.

    MarginError, on every rank, where one of them cannot begin: the first has no room for a whole copy.
    """
    if not is_sharded(model):
        yield
        return
    parts, place = _agreed(lambda: _prepared(model, first))
    whole = _gathered(parts, place)
    with ExitStack() as undo:
        if place is not None:
            for module in list(model.modules()):
                undo.enter_context(_plain(module, whole, place))
        yield


def _prepared(model: nn.Module, first: bool) -> tuple[list[Tensor], torch.device | None]:
    """The weights that are in parts, in one order on all ranks, and where they will be whole, if here."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()  # after an evaluation some are still whole, in the precision of a policy
    parts: list[Tensor] = [
        weight for weight in model.parameters() if isinstance(weight, DTensor) or is_of_zero3(weight)
    ]
    return parts, _place(parts) if first else None


def _place(parts: Iterable[Tensor]) -> torch.device:
    needed, devices = 0.0, [_HOST]
    for weight in parts:
        needed += ROOM * shape_of(weight).numel() * weight.element_size()
        # What FSDP2 offloads to the host between passes is computed on the device of its mesh.
        device = weight.device_mesh.device_type if isinstance(weight, DTensor) else weight.device.type
        if device == "cuda":
            devices = [torch.device("cuda", torch.cuda.current_device()), _HOST]
    free = {device: free_memory(device) for device in devices}
    found = next((device for device in devices if free[device] >= needed), None)
    if found is None:
        there = " and ".join(f"{free[device] / GB:.1f} GB on {device}" for device in devices)
        raise MarginError(
            f"the first process has no room for the whole model, which takes {needed / GB:.1f} GB and finds "
            f"{there}: measure its saved checkpoints with `margin sweep` instead"
        )
    return found


def _agreed(own: Callable[[], T]) -> T:
    """What `own` gives, once it is known that it gave something on every rank: nobody is waited for in vain.

    MarginError on all of them where it did not on one.
    """
    fault: Exception | None = None
    try:
        found = own()
    except BaseException as error:
        if not isinstance(error, Exception):
            raise
        fault = error  # whatever it is, the others are to know
    said = None if fault is None else words(fault)
    if reasons := [reason for reason in gather_object([said]) if reason is not None]:
        raise MarginError(reasons[0]) from fault
    return found


def _gathered(parts: Iterable[Tensor], place: torch.device | None) -> dict[Tensor, nn.Parameter]:
    """Every weight whole in one place, by its part here; nothing without a place.

    What cannot be kept is given up only once all are gathered: the other ranks would wait for this one.
    """
    whole: dict[Tensor, nn.Parameter] = {}
    fault: Exception | None = None
    for part in parts:
        weight = gathered(part) if is_of_zero3(part) else joined(part)
        if place is not None and fault is None:
            try:
                whole[part] = _at(place, weight)
            except (RuntimeError, MemoryError) as error:
                fault = error
                whole.clear()
    if fault is not None:
        raise fault
    return whole


def _at(place: torch.device, weight: Tensor) -> nn.Parameter:
    if isinstance(weight, nn.Parameter) and weight.device == place:
        return weight
    return nn.Parameter(weight.detach().to(place), requires_grad=False)


@contextmanager
def _plain(module: nn.Module, whole: dict[Tensor, nn.Parameter], place: torch.device) -> Iterator[None]:
    """A module with whole weights in one place, by its own class and without the hooks of what shards it."""
    held, kind = vars(module), type(module)
    before = {name: held[name] for name in _SWAPPED}

    def plain(hooks: OrderedDict[int, Any]) -> OrderedDict[int, Any]:
        return OrderedDict((id, hook) for id, hook in hooks.items() if not _is_of_sharder(hook))

    try:
        held["_parameters"] = {
            name: None if weight is None else whole[weight] if weight in whole else _at(place, weight)
            for name, weight in before["_parameters"].items()
        }
        held["_buffers"] = {
            name: None if buffer is None else buffer.to(place) for name, buffer in before["_buffers"].items()
        }
        held["_forward_pre_hooks"] = plain(before["_forward_pre_hooks"])
        held["_forward_hooks"] = plain(before["_forward_hooks"])
        if isinstance(module, FSDPModule):
            module.__class__ = kind.__mro__[kind.__mro__.index(FSDPModule) + 1]
        yield
    finally:
        module.__class__ = kind
        held.update(before)


def _is_of_sharder(hook: Any) -> bool:
    return str(getattr(hook, "__module__", "")).startswith(_SHARDERS)
