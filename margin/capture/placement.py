"""Where a model's weights lie: on one device, on several, on disk between passes, in parts on several ranks.

accelerate keeps weights that are offloaded on the meta device and brings them in for each pass by hooks;
transformers keeps a tensor-parallel weight as a DTensor, of which each rank holds a part. A quantiser may
keep a weight as a tensor of its own class, which wraps codes and scales.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from accelerate.utils import align_module_device
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.utils._python_dispatch import is_traceable_wrapper_subclass
from transformers import PreTrainedModel
from transformers.integrations.accelerate import load_offloaded_parameter


def input_device(model: PreTrainedModel) -> torch.device:
    """Where token ids go."""
    if model.device.type != "meta":
        return model.device
    return next(_execution_devices(model))


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host there; from pinned memory to CUDA, which needs no waiting for what is queued."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def devices_of(model: PreTrainedModel) -> list[torch.device]:
    """Every device something of the model is computed on, in order."""
    lying = (weight.device for weight in model.parameters() if weight.device.type != "meta")
    return list(dict.fromkeys([*lying, *_execution_devices(model)]))


def on_one_device(model: PreTrainedModel) -> bool:
    """Whether every weight lies whole on the same device, also between passes."""
    weights = list(model.parameters())
    same = {weight.device for weight in weights} == {input_device(model)}
    return same and not any(isinstance(weight, DTensor) for weight in weights)


def whole_tensors(model: PreTrainedModel) -> Iterator[tuple[str, Tensor]]:
    """Weights and buffers by name, in the order of names, each whole; of a quantiser's own tensor its parts.

    Of a model in parts every rank must ask for all.
    """
    for name, tensor in sorted(model.state_dict(keep_vars=True).items()):
        if isinstance(tensor, Tensor):
            there = load_offloaded_parameter(model, name) if tensor.device.type == "meta" else tensor
            yield from ((part, joined(its)) for part, its in _parts(name, there))


def is_plain(tensor: Tensor) -> bool:
    """Whether a tensor holds its own numbers, and is no wrapper around others."""
    return type(tensor) in (Tensor, nn.Parameter)


def weight_and_bias(module: nn.Linear) -> tuple[Tensor, Tensor | None]:
    """Matrix and bias of a linear layer, whole and on the device it is computed on."""
    with align_module_device(module):
        return joined(module.weight), None if module.bias is None else joined(module.bias)


def joined(tensor: Tensor) -> Tensor:
    """The tensor whole; of one in parts every rank must ask for it."""
    if not isinstance(tensor, DTensor):
        return tensor.detach()
    with torch.inference_mode(False), torch.no_grad():
        # FSDP2 may offload it to the host, where the ranks of an accelerator do not meet.
        there: Any = tensor.to(tensor.device_mesh.device_type)
        whole: Tensor = there.full_tensor()
        return whole.detach()


def _parts(name: str, tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
    """The tensor, or what it wraps, by name."""
    if isinstance(tensor, DTensor) or not is_traceable_wrapper_subclass(tensor):
        yield name, tensor
        return
    for part in sorted(tensor.__tensor_flatten__()[0]):
        yield from _parts(f"{name}.{part}", getattr(tensor, part))


def _execution_devices(model: PreTrainedModel) -> Iterator[torch.device]:
    for module in model.modules():
        device = getattr(getattr(module, "_hf_hook", None), "execution_device", None)
        if device is not None:
            yield torch.device(device)
