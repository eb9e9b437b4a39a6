"""Where a model's weights lie: on one device, on several, on disk between passes, in parts on several ranks.

accelerate keeps weights that are offloaded on the meta device and brings them in for each pass by hooks;
transformers keeps a tensor-parallel weight as a DTensor, of which each rank holds a part.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from accelerate.utils import align_module_device
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
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
    """Weights and buffers by name, in the order of names, each whole and on the host, one at a time.

    Of a model in parts every rank must ask for all.
    """
    for name, tensor in sorted(model.state_dict().items()):
        if isinstance(tensor, Tensor):
            there = load_offloaded_parameter(model, name) if tensor.device.type == "meta" else tensor
            yield name, _joined(there).cpu()


def weight_and_bias(module: nn.Linear) -> tuple[Tensor, Tensor | None]:
    """Matrix and bias of a linear layer, whole and on the device it is computed on."""
    with align_module_device(module):
        return _joined(module.weight), None if module.bias is None else _joined(module.bias)


def _joined(tensor: Tensor) -> Tensor:
    if not isinstance(tensor, DTensor):
        return tensor.detach()
    with torch.inference_mode(False), torch.no_grad():
        return tensor.full_tensor().detach()


def _execution_devices(model: PreTrainedModel) -> Iterator[torch.device]:
    for module in model.modules():
        device = getattr(getattr(module, "_hf_hook", None), "execution_device", None)
        if device is not None:
            yield torch.device(device)
