"""An adapter on its model: all of it, nothing besides, and acting where the model is run."""

from __future__ import annotations

import json
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from peft import (
    PEFT_TYPE_TO_CONFIG_MAPPING,
    PeftConfig,
    PeftModel,
    PromptLearningConfig,
    load_peft_weights,
    set_peft_model_state_dict,
)
from safetensors import safe_open
from transformers import PreTrainedModel

from margin.capture.folder import ADAPTER_CONFIG, ADAPTER_WEIGHTS, is_real, require_adapter
from margin.capture.quiet import quietly
from margin.capture.resizing import require_rows, resize
from margin.capture.twice import require_once
from margin.capture.whole import named
from margin.capture.wrapper import unwrapped
from margin.errors import MarginError, foreign
from margin.inputs.reading import parse_json, read_text
from margin.text import brief, shown

STRENGTH = ("lora_alpha", "alpha", "alpha_pattern", "scaling")
"""What the kinds of adapters call the numbers that their layers are multiplied with."""


def with_adapter(model: PreTrainedModel, folder: Path, name: str) -> PreTrainedModel:
    """The model with an adapter's layers in place, from a folder in PEFT's format; safetensors only.

    A model whose embeddings were resized for the adapter is resized to the rows that the adapter carries.
    MarginError where the adapter changes the input, where weights of it are missing, fit no layer or are of
    another size, where this PEFT does not know a setting of it, or where it acts outside the model's layers.
    """
    what = f"adapter {name}"
    require_adapter(folder)
    config = _config(folder, what)
    with foreign(f"{what} cannot be loaded"), safe_open(folder / ADAPTER_WEIGHTS, "pt") as file:
        found = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118 - no mapping
        sizes = {key: its.get_shape() for key, its in found.items()}
        odd = [key for key, its in found.items() if not is_real(its.get_dtype())]
    if odd:
        kind = found[odd[0]].get_dtype()
        raise MarginError(f"{what} cannot be loaded: {shown(odd[0])} holds {kind}, which is no real number")
    require_once(what, [folder / ADAPTER_WEIGHTS], "default")
    with quietly():
        new = resize(model, config, sizes, what)
        try:
            with foreign(f"{what} cannot be loaded"):
                peft = PeftModel.from_pretrained(model, str(folder), config=config)
        except MarginError as error:
            if isinstance(error.__cause__, KeyError):  # of which the name is all there is to say
                raise MarginError(f"{what} lacks the weights {shown(error.__cause__.args[0])}") from None
            raise
        _require_all(peft, folder, what)
        with torch.inference_mode():
            if new is not None:
                require_rows(peft, new, what)
            return unwrapped(peft.eval(), what)


def trained_on(folder: Path) -> str | None:
    """The model that an adapter says it was trained on: a path or a hub id, as its training called it."""
    record = parse_json(read_text(folder / ADAPTER_CONFIG, "adapter"), str(folder / ADAPTER_CONFIG))
    base = record.get("base_model_name_or_path") if isinstance(record, dict) else None
    return base if isinstance(base, str) and base else None


def _config(folder: Path, what: str) -> PeftConfig:
    path = folder / ADAPTER_CONFIG
    record = parse_json(read_text(path, "adapter"), str(path))
    if not isinstance(record, dict) or not isinstance(record.get("peft_type"), str):
        raise MarginError(f"{path} is no configuration of an adapter: it names no peft_type")
    kind: Any = PEFT_TYPE_TO_CONFIG_MAPPING.get(record["peft_type"])
    advice = f"which PEFT {version('peft')} does not know: install the one it was saved with"
    if kind is None:
        raise MarginError(f"{what} is of the kind {shown(record['peft_type'])}, {advice}")
    # PEFT warns and drops them. A setting that is off, or empty, is no loss.
    unknown = {key for key, value in record.items() if value} - {field.name for field in fields(kind)}
    unknown -= {"runtime_config"}
    if unknown:
        raise MarginError(f"{what} sets {named(unknown)}, {advice}")
    for field in fields(kind):
        value = record.get(field.name, field.default)
        # PEFT takes what it finds: the text "false" for true, a number that is text for none at all.
        if not _is_like(value, field.default):
            kinds = "true or false" if isinstance(field.default, bool) else "a number"
            raise MarginError(
                f"{path} sets {field.name} to {brief(json.dumps(value), 40)}: it must be {kinds}"
            )
        each = value.values() if isinstance(value, dict) else [value]
        if field.name in STRENGTH and 0 in each:
            raise MarginError(
                f"{path} sets {field.name} to 0, by which its layers are multiplied: write what it was "
                "trained with, or leave the adapter out"
            )
    with quietly(), foreign(f"{path} is no configuration of an adapter"):
        config: PeftConfig = PeftConfig.from_pretrained(str(folder))
    if isinstance(config, PromptLearningConfig):
        raise MarginError(f"{what} is none like LoRA: it changes the input, not the weights")
    return config


def _is_like(value: Any, default: Any) -> bool:
    """Whether a setting is of the kind of its default, where that is true, false or a number."""
    if isinstance(default, bool):
        return value is None or isinstance(value, bool)
    if isinstance(default, int | float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return True


def _require_all(peft: PeftModel, folder: Path, what: str) -> None:
    """MarginError unless every weight of the file found its place, and every place its weight."""
    mapping = getattr(peft.get_base_model(), "_checkpoint_conversion_mapping", {})
    with foreign(f"{what} cannot be loaded"):
        # Loaded again, for what is returned: the names PEFT warned of or kept silent about.
        weights = load_peft_weights(str(folder), device="cpu", key_mapping=mapping)
        result: Any = set_peft_model_state_dict(peft, weights)
        state = peft.state_dict()
    if strange := [key for key in result.unexpected_keys if not _repeats(key, weights)]:
        raise MarginError(
            f"{what} holds weights that fit no layer of the model: {named(strange)}; "
            "it was made for another model, or saved inside a wrapper"
        )
    absent = {key for key in result.missing_keys if key in state}
    loaded = {_place(tensor) for key, tensor in state.items() if key not in absent} - {0}
    # By which a method's own weights are known: "lora_". One method is no tuner like the others: it has none.
    prefix = getattr(peft.base_model, "prefix", "adaption_")
    # Some methods share a weight among layers, and save it once.
    lacking = [key for key in absent if prefix in key and _place(state[key]) not in loaded]
    if lacking:
        raise MarginError(f"{what} lacks weights of layers that it says it changes: {named(lacking)}")


def _repeats(key: str, weights: dict[str, torch.Tensor]) -> bool:
    """Whether a weight is saved twice, as PEFT does with embeddings that were resized or tied."""
    if key not in weights or not any(part in key for part in (".modules_to_save.", ".token_adapter.")):
        return False
    return any(other != key and weight.equal(weights[key]) for other, weight in weights.items())


def _place(tensor: object) -> int:
    return tensor.data_ptr() if isinstance(tensor, torch.Tensor) and not tensor.is_meta else 0
