"""Weights that are 0 throughout, as in a file not written in full or an adapter not trained."""

from __future__ import annotations

import torch
from torch import nn

from margin.capture.placement import is_plain
from margin.capture.whole import named

_REAL = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def blank(model: nn.Module) -> str | None:
    """What to say of a model that holds matrices of zeros alone; None where it has none.

    It may be meant so, as of blocks taken out, and is no error. Weights that lie elsewhere between passes, in
    parts on several ranks, or in a quantiser's own form, are passed over. Cost: reads every weight once.
    """
    blanks = [
        name
        for name, weight in model.named_parameters()
        if weight.ndim > 1 and weight.dtype in _REAL and not weight.is_meta
        if is_plain(weight) and not weight.any()
    ]
    if not blanks:
        return None
    of_adapter = all(".lora_" in name for name in blanks)
    why = "an adapter not trained" if of_adapter else "a file that was not written in full"
    return f"0 throughout, as in {why}: {named(blanks)}"
