"""An adapter on its model: all of it, nothing besides, and acting where the model is run."""

from __future__ import annotations

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
from torch import nn
from transformers import PreTrainedModel

from margin.capture.folder import ADAPTER_CONFIG, ADAPTER_WEIGHTS, require_adapter
from margin.capture.quiet import quietly
from margin.capture.whole import named
from margin.capture.wrapper import unwrapped
from margin.errors import MarginError, foreign
from margin.inputs.reading import parse_json, read_text
from margin.text import shown

SLOT = "default"
"""Name PEFT gives an adapter within a model."""


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
        sizes = {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118 - no mapping
    with quietly():
        resized = _resize(model, sizes, what)
        try:
            with foreign(f"{what} cannot be loaded"):
                peft = PeftModel.from_pretrained(model, str(folder), config=config)
        except MarginError as error:
            if isinstance(error.__cause__, KeyError):  # of which the name is all there is to say
                raise MarginError(f"{what} lacks the weights {shown(error.__cause__.args[0])}") from None
            raise
        _require_all(peft, folder, what)
        with torch.inference_mode():
            if resized is not None:
                _require_rows(peft, resized, what)
            return unwrapped(peft.eval(), what)


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
    with quietly(), foreign(f"{path} is no configuration of an adapter"):
        config = PeftConfig.from_pretrained(str(folder))
    if isinstance(config, PromptLearningConfig):
        raise MarginError(f"{what} is none like LoRA: it changes the input, not the weights")
    return config


def _require_all(peft: PeftModel, folder: Path, what: str) -> None:
    """MarginError unless every weight of the file found its place, and every place its weight."""
    mapping = getattr(peft.get_base_model(), "_checkpoint_conversion_mapping", {})
    with foreign(f"{what} cannot be loaded"):
        # Loaded again, for what is returned: the names PEFT warned of or kept silent about.
        weights = load_peft_weights(str(folder), device="cpu", key_mapping=mapping)
        result: Any = set_peft_model_state_dict(peft, weights, adapter_name=SLOT)
        state = peft.state_dict()
    if result.unexpected_keys:
        raise MarginError(
            f"{what} holds weights that fit no layer of the model: {named(result.unexpected_keys)}; "
            "it was made for another model, or saved inside a wrapper"
        )
    absent = {key for key in result.missing_keys if key in state}
    loaded = {_place(tensor) for key, tensor in state.items() if key not in absent} - {0}
    prefix = peft.base_model.prefix  # by which a method's own weights are known: "lora_"
    # Some methods share a weight among layers, and save it once.
    lacking = [
        key for key in absent if prefix in key and f".{SLOT}" in key and _place(state[key]) not in loaded
    ]
    if lacking:
        raise MarginError(f"{what} lacks weights of layers that it says it changes: {named(lacking)}")


def _place(tensor: object) -> int:
    return tensor.data_ptr() if isinstance(tensor, torch.Tensor) and not tensor.is_meta else 0


def _resize(model: PreTrainedModel, sizes: dict[str, list[int]], what: str) -> tuple[int, int] | None:
    """Resize the embeddings to the rows that an adapter carries; rows before and after, None where it is all
    the same. New rows are NaN until the adapter's stand in their place.
    """
    inputs: Any = model.get_input_embeddings()
    outputs: Any = model.get_output_embeddings()
    carried = _rows(model, inputs, sizes)
    if carried is None or carried == len(inputs.weight):
        return None
    before = len(inputs.weight)
    tied = outputs is None or outputs.weight is inputs.weight
    if not tied and _rows(model, outputs, sizes) != carried:
        raise MarginError(
            f"{what} carries embeddings of {carried} tokens, the model has {before}, and not the head that "
            "goes with them: save it with its lm_head"
        )
    with foreign(f"{what} carries embeddings of {carried} tokens, the model has {before}"):
        model.resize_token_embeddings(carried, mean_resizing=False)
    with torch.no_grad():
        for module in (model.get_input_embeddings(), model.get_output_embeddings()):
            for weight in module.parameters() if module is not None else ():
                weight[before:] = torch.nan
    return before, carried


def _rows(model: PreTrainedModel, module: nn.Module, sizes: dict[str, list[int]]) -> int | None:
    """Rows of an embedding that is saved with an adapter, None where it is not."""
    name = next(name for name, its in model.named_modules() if its is module)
    for key in (f"base_model.model.{name}.weight", f"base_model.model.{name}.base_layer.weight"):
        if key in sizes:
            return int(sizes[key][0])
    return None


def _require_rows(peft: PeftModel, rows: tuple[int, int], what: str) -> None:
    """MarginError where new rows of the embeddings are used that the adapter did not bring."""
    model: Any = peft.get_base_model()
    new = torch.arange(*rows)[:, None]
    for start in range(0, len(new), 64):
        logits = model(input_ids=new[start : start + 64].to(model.device)).logits
        if not torch.isfinite(logits).all():
            raise MarginError(
                f"{what} was trained with {rows[1]} tokens, the model has {rows[0]}, and it does not carry "
                "all rows of the embeddings and the head: save it with both (modules_to_save)"
            )
    for weight in model.parameters():  # what the adapter's own stand in place of
        if len(weight) == rows[1] and weight.is_floating_point():
            weight.nan_to_num_()
