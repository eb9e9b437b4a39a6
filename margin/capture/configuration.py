"""What decides a forward pass beside the weights: configuration, adapters, numbers in modules, buffers, code.

All of it is kept as it reads, so that a difference can be named: "rope_theta: 10000.0 there, 200.0 here".
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import sys
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from transformers import PreTrainedModel

from margin.inputs.modes import ModeSet
from margin.run.stored import Record

OF_NO_EFFECT = {
    # Where it came from, and who wrote it: the weights and the code are identified by what they hold.
    *(
        "_name_or_path",
        "_commit_hash",
        "architectures",
        "transformers_version",
        "auto_map",
        "task_specific_params",
    ),
    # Recorded by itself, as what was loaded and not as what was saved.
    *("dtype", "torch_dtype"),
    # How weights are spread over devices: a run may be resumed on others.
    *("distributed_config", "tp_plan", "device_map"),
    # What is given out beside the states, and whether keys and values are kept: the capture asks for its own.
    *("use_cache", "return_dict", "output_hidden_states", "output_attentions", "output_scores"),
    # Heads of other tasks.
    *("id2label", "label2id", "num_labels", "problem_type"),
    # Ids of the tokenizer's marks; which of them end an answer is recorded by itself.
    *("bos_token_id", "eos_token_id", "pad_token_id"),
}
"""Keys of a configuration that leave the forward pass as it is. Every other one counts, unknown ones too."""
OF_NO_EFFECT_IN_ADAPTERS = {
    # Where it came from, and who wrote it.
    *("base_model_name_or_path", "revision", "auto_mapping", "peft_version", "task_type"),
    # How training begins or goes on.
    *("inference_mode", "init_lora_weights", "runtime_config"),
}
_SMALLEST = 1e-12
"""Beneath this a buffer's values count as 0."""


def forward_pass(model: PreTrainedModel, modes: ModeSet) -> Record:
    """All that decides a forward pass and is not a weight, as plain values that JSON holds.

    - `configuration`: the effective one, defaults filled in, less `OF_NO_EFFECT`, nested ones alike.
    - `adapters`: the settings of each PEFT adapter, and in how many layers it is active or merged.
    - `modules`: every float that is an attribute of a module (epsilons, scalings, soft-caps), by class and
      name, and its different values: what was set by hand, too.
    - `buffers`: a sum over each buffer that no file holds, such as the frequencies of rotary embeddings.
    - `code`: SHA-256 of the model's own code where it brings some; that of transformers goes by its version.

    A live token that stands in a configuration is redacted. MarginError never; costs a pass over the buffers.
    """
    record = {
        "configuration": _less(_plain(model.config), OF_NO_EFFECT),
        "adapters": _adapters(model),
        "modules": _modules(model),
        "buffers": _buffers(model),
        "code": _code(model, modes),
    }
    redacted: Record = json.loads(modes.redact(json.dumps(record, ensure_ascii=False)))
    return redacted


def _adapters(model: PreTrainedModel) -> Record:
    tuned = [module for module in model.modules() if isinstance(module, BaseTunerLayer)]
    return {
        name: _less(_plain(settings), OF_NO_EFFECT_IN_ADAPTERS)
        | {
            "active_layers": sum(
                name in layer.active_adapters and not layer.disable_adapters for layer in tuned
            ),
            "merged_layers": sum(name in layer.merged_adapters for layer in tuned),
        }
        for name, settings in getattr(model, "peft_config", {}).items()
        if tuned
    }


def _modules(model: PreTrainedModel) -> Record:
    found: dict[str, list[float]] = {}
    for module in model.modules():
        for name, value in vars(module).items():
            if name.startswith("_"):
                continue
            for part, number in _floats(name, value):
                found.setdefault(f"{type(module).__name__}.{part}", []).append(number)
    return {name: sorted(set(map(_plain, found[name])), key=str) for name in sorted(found)}


def _floats(name: str, value: object) -> Iterator[tuple[str, float]]:
    """A float by its name; of a dictionary, such as the scalings of a LoRA layer by adapter, each float."""
    if isinstance(value, float):
        yield name, value
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _floats(f"{name}.{key}", part)


def _buffers(model: PreTrainedModel) -> Record:
    """The sum of the logarithms of each buffer's sizes, weighted by place: no value can change unseen.

    A digest would differ between devices, whose powers and sines round differently; this differs by rounding.
    """
    return {
        f"{place}.{name}" if place else name: _place_weighted_sum(buffer)
        for place, module in model.named_modules()
        for name, buffer in module.named_buffers(recurse=False)
        if name in module._non_persistent_buffers_set
        and buffer.device.type != "meta"
        and not _set_by_each_pass(module, name)
    }


def _set_by_each_pass(module: nn.Module, name: str) -> bool:
    """Whether a buffer is left behind by the pass before: rotary frequencies that depend on its length."""
    kinds = getattr(module, "rope_type", None)
    kind = kinds.get(name.removesuffix("_inv_freq")) if isinstance(kinds, dict) else kinds
    depends = isinstance(kind, str) and ("dynamic" in kind or kind == "longrope")
    return depends and name.endswith("inv_freq") and "original" not in name


def _place_weighted_sum(buffer: Tensor) -> float:
    values = torch.nan_to_num(buffer.detach().flatten().to("cpu", torch.float64)).abs()
    weights = torch.linspace(1, 2, len(values), dtype=torch.float64)
    return float((weights * values.clamp_min(_SMALLEST).log()).sum())


def _code(model: PreTrainedModel, modes: ModeSet) -> str | None:
    """SHA-256 of the modules that came with the checkpoint (--trust-remote-code); None of transformers' own.

    None also where a live token stands in it: a digest would let it be found by trying.
    """
    home = type(model).__module__
    if not home.startswith("transformers_modules."):
        return None
    package = home.rpartition(".")[0]
    sources = [
        inspect.getsource(module)
        for name, module in sorted(sys.modules.items())
        if name.startswith(f"{package}.") and getattr(module, "__file__", None)
    ]
    text = "\n".join(sources)
    return None if modes.leaks_in(text) else hashlib.sha256(text.encode()).hexdigest()


def _less(record: Any, names: set[str]) -> Any:
    """A record without entries of these names, nor the records in it."""
    if not isinstance(record, dict):
        return record
    return {key: _less(value, names) for key, value in record.items() if key not in names}


def _plain(value: Any) -> Any:
    """A value as JSON holds it; what is no plain value by its own record, else by its kind."""
    match value:
        case None | bool() | int() | str() if not isinstance(value, Enum):
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case Enum():
            return _plain(value.value)
        case Mapping():
            return {str(key): _plain(part) for key, part in value.items()}
        case set() | frozenset():
            return sorted(map(_plain, value), key=str)
        case list() | tuple():
            return [_plain(part) for part in value]
        case torch.dtype() | torch.device():
            return str(value)
    return _plain(value.to_dict()) if hasattr(value, "to_dict") else type(value).__qualname__
