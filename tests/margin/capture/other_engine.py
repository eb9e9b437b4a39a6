"""Another engine: rows through a model with nothing of margin's capture in between, and its mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Computed:
    """What a model makes of rows at their last tokens."""

    states: Float
    """(n, d) after the final norm."""
    layers: list[Float]
    """(n, d) embeddings, then what each block puts out."""

    @property
    def before_norm(self) -> Float:
        return self.layers[-1]


def compute(model: PreTrainedModel, rows: Sequence[Sequence[int]]) -> Computed:
    """Rows one by one; the final norm's input by a hook, since transformers reports only what it makes."""
    taken: list[Tensor] = []
    norm = model.get_submodule("model.norm")
    handle = norm.register_forward_pre_hook(lambda module, args: taken.append(args[0][0, -1]))
    states, layers = [], []
    try:
        with torch.no_grad():
            for ids in rows:
                output = model(input_ids=torch.tensor([list(ids)]), output_hidden_states=True)
                reported = [hidden[0, -1] for hidden in output.hidden_states]
                states.append(reported[-1])
                layers.append([*reported[:-1], taken[-1]])
    finally:
        handle.remove()
    by_layer = [torch.stack(its).numpy() for its in zip(*layers, strict=True)]
    return Computed(torch.stack(states).numpy(), by_layer)


def answer(model: PreTrainedModel, ids: Sequence[int]) -> int:
    """The first token of the greedy answer."""
    with torch.no_grad():
        return int(model(input_ids=torch.tensor([list(ids)])).logits[0, -1].argmax())


def in_16_bits(values: Float, dtype: torch.dtype) -> Tensor:
    """Rounded, as an engine keeps them that computes in 16 bits."""
    return torch.from_numpy(values).to(dtype)
