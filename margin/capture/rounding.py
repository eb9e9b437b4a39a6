"""How far rounding may carry two ways to compute the same."""

from __future__ import annotations

import torch


def tolerance(dtype: torch.dtype) -> float:
    """Largest relative difference that rounding in `dtype` explains between two ways to compute the same."""
    return max(1e-4, 8 * torch.finfo(dtype).eps)
