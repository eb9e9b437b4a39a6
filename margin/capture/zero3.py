"""Weights that DeepSpeed's ZeRO-3 keeps in parts on several ranks, and that are empty between passes."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor


def is_of_zero3(weight: Tensor) -> bool:
    """Whether ZeRO-3 has the weight in its hands."""
    return hasattr(weight, "ds_id")


def shape_of(weight: Tensor) -> torch.Size:
    """Shape of a weight when it is whole."""
    shape: torch.Size = getattr(weight, "ds_shape", weight.shape)
    return shape


def gathered(weight: Any) -> Tensor:
    """A whole copy of a weight of ZeRO-3, for which every rank must ask."""
    if weight.ds_status.name == "AVAILABLE":  # small ones stay so, which gathering would end
        there = nullcontext()
    else:
        import deepspeed

        there = deepspeed.zero.GatheredParameters([weight])
    with torch.inference_mode(False), torch.no_grad(), there:
        copy: Tensor = weight.detach().clone()
        return copy
