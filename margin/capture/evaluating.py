"""A model as it answers, for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from margin.capture.rotary import forgetful


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model without dropout, gradients and what it keeps of other rows; as it was afterwards.

    It gives back what it computes by name, whatever its configuration prefers.
    """
    training = [module for module in model.modules() if module.training]
    model.eval()
    config: Any = getattr(model, "config", None)
    by_name = getattr(config, "return_dict", None)
    if by_name is not None:
        config.return_dict = True
    try:
        with torch.inference_mode(), forgetful(model):
            yield
    finally:
        if by_name is not None:
            config.return_dict = by_name
        for module in training:
            module.training = True
