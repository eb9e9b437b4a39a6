"""A model as it answers, for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from margin.capture.rotary import forgetful


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model without dropout, gradients and what it keeps of other rows; as it was afterwards."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.inference_mode(), forgetful(model):
            yield
    finally:
        for module in training:
            module.training = True
