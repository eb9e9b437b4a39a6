"""Proof that PEFT's wrapper adds nothing to the model inside it, which is what is run.

The hooks need the model itself, and some adapters act in the wrapper's forward only: activated LoRA, which
looks for its invocation tokens there, mixtures of adapters, anything that changes the input.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from peft import PeftModel
from torch import Tensor
from transformers import PreTrainedModel

from margin.capture.bounds import vocabulary_of
from margin.capture.placement import input_device
from margin.capture.rounding import tolerance
from margin.errors import MarginError, foreign

DRAWS, LENGTH = 3, 8
"""Rows of tokens that are tried, and how many tokens each has."""


def unwrapped(peft: PeftModel, what: str) -> PreTrainedModel:
    """The transformers model inside, with the layers of its adapters in place.

    MarginError, `what` it is said of, where the wrapper's logits for drawn tokens, those that invoke an
    adapter among them, are not the model's own. Costs two forward passes over 24 tokens. The model must be
    evaluating, without gradients; no random stream is drawn from.
    """
    configs = [peft.peft_config[name] for name in _active(peft)]
    if any(config.is_prompt_learning for config in configs):
        raise MarginError(f"{what} is none like LoRA: it changes the input, not the weights")
    model = cast(PreTrainedModel, peft.get_base_model())
    vocabulary = vocabulary_of(model)
    invocations = [list(getattr(config, "alora_invocation_tokens", None) or ()) for config in configs]
    tokens = _drawn(vocabulary, invocations).to(input_device(model))
    with foreign(f"{what} cannot be run"):
        by_wrapper, by_model = (one(input_ids=tokens).logits.float() for one in (peft, model))
    if not _alike(by_wrapper, by_model, tolerance(model.dtype)):
        kinds = ", ".join(
            "activated LoRA" if its else str(getattr(config.peft_type, "value", config.peft_type))
            for config, its in zip(configs, invocations, strict=True)
        )
        raise MarginError(
            f"{what} acts outside the model's layers ({kinds}), which is not supported: its answers are not "
            "those of the model with its weights"
        )
    return model


def _active(peft: PeftModel) -> list[str]:
    active: str | Iterable[str] = peft.active_adapters
    return [active] if isinstance(active, str) else list(active)


def _drawn(vocabulary: int, invocations: Iterable[list[int]]) -> Tensor:
    """(rows, tokens) random ids, and in later rows each invocation inside random ids."""
    stream = torch.Generator().manual_seed(0)
    longest = max([LENGTH, *(len(its) + 4 for its in invocations)])
    rows = [torch.randint(vocabulary, (longest,), generator=stream) for _ in range(DRAWS)]
    for its in invocations:
        if its and max(its) < vocabulary:
            row = torch.randint(vocabulary, (longest,), generator=stream)
            row[2 : 2 + len(its)] = torch.tensor(its)
            rows.append(row)
    return torch.stack(rows)


def _alike(found: Tensor, expected: Tensor, limit: float) -> bool:
    if found.shape != expected.shape:
        return False
    if not found.isfinite().equal(expected.isfinite()):
        return False
    found, expected = found.nan_to_num(), expected.nan_to_num()  # which the rows are refused for, by name
    difference, size = (found - expected).norm(dim=-1), expected.norm(dim=-1)
    return bool((difference <= limit * size).all())
