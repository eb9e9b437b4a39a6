"""Embeddings that were resized for an adapter, which then carries their rows."""

from __future__ import annotations

from typing import Any

import torch
from peft import PeftConfig, PeftModel
from torch import nn
from transformers import PreTrainedModel

from margin.capture.placement import input_device
from margin.errors import MarginError, foreign

ROWS = 64
"""Rows run at once."""


def resize(
    model: PreTrainedModel, config: PeftConfig, sizes: dict[str, list[int]], what: str
) -> range | None:
    """Resize the embeddings to the rows that an adapter carries; the new rows, None where there are none.

    They are NaN until the adapter's own stand in their place.
    """
    inputs: Any = model.get_input_embeddings()
    outputs: Any = model.get_output_embeddings()
    before = len(inputs.weight)
    trained = max(_token_indices(config), default=-1) + 1
    rows = _rows(model, inputs, sizes) or max(before, trained)
    if rows == before:
        return None
    tied = outputs is None or outputs.weight is inputs.weight
    if not tied and rows != trained and _rows(model, outputs, sizes) != rows:
        raise MarginError(
            f"{what} carries embeddings of {rows} tokens, the model has {before}, and not the head that "
            "goes with them: save it with its lm_head"
        )
    with foreign(f"{what} carries embeddings of {rows} tokens, the model has {before}"):
        model.resize_token_embeddings(rows, mean_resizing=False)
    with torch.no_grad():
        for module in (model.get_input_embeddings(), model.get_output_embeddings()):
            for weight in module.parameters() if module is not None else ():
                weight[before:] = torch.nan
    return range(before, rows) if rows > before else None


def _token_indices(config: Any) -> list[int]:
    """Tokens whose rows the adapter trains alone."""
    found = getattr(config, "trainable_token_indices", None) or getattr(config, "token_indices", None) or []
    lists = found.values() if isinstance(found, dict) else [found]
    return [index for indices in lists for index in indices if isinstance(index, int)]


def _rows(model: PreTrainedModel, module: nn.Module, sizes: dict[str, list[int]]) -> int | None:
    """Rows of an embedding that is saved with an adapter, None where it is not."""
    name = next(name for name, its in model.named_modules() if its is module)
    for layer in ("", ".base_layer", ".token_adapter.base_layer"):
        if size := sizes.get(f"base_model.model.{name}{layer}.weight"):
            return int(size[0])
    return None


def require_rows(peft: PeftModel, new: range, what: str) -> None:
    """MarginError where new rows of the embeddings are used that the adapter did not bring."""
    model: Any = peft.get_base_model()
    tokens = torch.arange(new.start, new.stop)[:, None]
    for start in range(0, len(tokens), ROWS):
        logits = model(input_ids=tokens[start : start + ROWS].to(input_device(model))).logits
        if not torch.isfinite(logits).all():
            raise MarginError(
                f"{what} was trained with {new.stop} tokens, the model has {new.start}, and it does not "
                "carry all rows of the embeddings and the head: save it with both (modules_to_save)"
            )
    for weight in model.parameters():  # what the adapter's own stand in place of
        if weight.is_floating_point():
            weight.nan_to_num_()
