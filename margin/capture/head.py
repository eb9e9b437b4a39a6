"""The head: how final states become logits, and the proof that it is so for this model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedModel

from margin.arguments import named, require_path
from margin.capture.calling import call
from margin.capture.checkpoint import Checkpoint, load_checkpoint
from margin.capture.hooks import head_module, hidden_state_hooks
from margin.capture.placement import input_device, weight_and_bias
from margin.capture.rounding import tolerance
from margin.errors import MarginError

CHUNK = 8192
"""Tokens of the vocabulary that are worked on at once."""
SOFTCAPS = ("final_logit_softcapping", "logits_soft_cap", "output_logit_soft_cap")
"""What configurations call the bound of a soft-capped head."""


@dataclass(frozen=True, eq=False)
class Head:
    """logits = softcap(scale * (W h + b)), in float32 whatever the model's dtype.

    Callable on NumPy states.
    """

    weight: Tensor
    """(V, d) output embeddings."""
    bias: Tensor | None
    """(V,) or None."""
    scale: float = 1.0
    """Factor on the logits."""
    softcap: float | None = None
    """Bound c of c * tanh(logits / c), or None where the head is affine."""

    @property
    def vocabulary(self) -> int:
        """Number V of logits."""
        return len(self.weight)

    @property
    def device(self) -> torch.device:
        """Where the weight lies."""
        return self.weight.device

    def affine(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Float32 weight (n, d) and bias (n,) of a stretch of n tokens, scale applied."""
        weight = self.weight[start:stop].float()
        bias = weight.new_zeros(len(weight)) if self.bias is None else self.bias[start:stop].float()
        if self.scale == 1:  # the usual head, of which nothing need be copied
            return weight, bias
        return weight * self.scale, bias * self.scale

    def columns(self, states: Tensor, start: int, stop: int) -> Tensor:
        """(B, stop-start) logits of a stretch of the vocabulary for float32 states (B, d)."""
        weight, bias = self.affine(start, stop)
        logits = torch.addmm(bias, states, weight.T)
        return logits if self.softcap is None else self.softcap * torch.tanh(logits / self.softcap)

    def stretches(self) -> list[tuple[int, int]]:
        """The vocabulary in stretches of at most CHUNK tokens."""
        return [(start, min(start + CHUNK, self.vocabulary)) for start in range(0, self.vocabulary, CHUNK)]

    def logits(self, states: Tensor) -> Tensor:
        """(B, V) logits of float32 states (B, d)."""
        return torch.cat([self.columns(states, *stretch) for stretch in self.stretches()], dim=1)

    def __call__(self, states: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, V) logits of states (B, d)."""
        if states.shape[1] != self.weight.shape[1]:
            raise MarginError(
                f"this head takes states of {self.weight.shape[1]} numbers, not {states.shape[1]}"
            )
        return self.logits(torch.from_numpy(states).to(self.device)).cpu().numpy()


def find_head(model: PreTrainedModel, states: Tensor, logits: Tensor) -> Head:
    """The head that makes the model's own `logits` (B, V) of the final `states` (B, d).

    A scale is measured, not looked up, since architectures name it differently and some divide by it; the
    soft-cap is taken from the configuration. MarginError where no head of this form reproduces the logits.
    """
    weight, bias = _weight_and_bias(head_module(model), model.dtype)
    states, logits = states.float().to(weight.device), logits.float().to(weight.device)
    config = model.config.get_text_config(decoder=True)
    softcap = next((cap for name in SOFTCAPS if (cap := getattr(config, name, None))), None)
    head = Head(weight, bias, softcap=None if softcap is None else float(softcap))
    made = head.logits(states)
    if softcap is None and not _close(made, logits, model.dtype):
        scale = (made.double() * logits.double()).sum() / made.double().square().sum()
        head = Head(weight, bias, scale=float(scale))
        made = head.logits(states)
    if not _close(made, logits, model.dtype):
        raise MarginError(
            f"{type(model).__name__} makes its logits by no affine or soft-capped head, so they cannot be "
            "rebuilt from the final state: this architecture is not supported"
        )
    return head


def _weight_and_bias(module: nn.Module, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
    """The head's matrix and bias; where it is not plainly linear, by what it makes of unit vectors."""
    if type(module) is nn.Linear:
        return weight_and_bias(module)
    parameter = next(module.parameters())
    width = getattr(module, "in_features", parameter.shape[-1])
    # A quantised weight's own dtype is that of its codes.
    unit = torch.eye(width, device=parameter.device, dtype=dtype)
    bias = module(torch.zeros_like(unit[:1]))[0]
    return (module(unit) - bias).T.contiguous(), bias


def _close(made: Tensor, logits: Tensor, dtype: torch.dtype) -> bool:
    if made.shape != logits.shape:
        return False
    size = logits.abs().amax(dim=1, keepdim=True)
    return bool(((made - logits).abs() <= tolerance(dtype) * size).all())


@named
def load_head(
    model: str | Path | Checkpoint, *, adapter: str | Path | None = None, device: str | None = None
) -> Head:
    """The head of a checkpoint, for `Run.logits`. Loads the checkpoint and runs three tokens through it.

    Example
    -------
    >>> import margin
    >>> from margin.demo import checkpoint_path
    >>> run = margin.open_run("demo-run")
    >>> head = margin.load_head(checkpoint_path("cotrained"))
    >>> logits = run.logits(head)  # (rows, vocabulary), rebuilt from the states that were kept
    >>> ids, kept = run.topk()
    >>> bool((logits.argmax(axis=1) == ids[:, 0]).all())
    True
    """
    if not isinstance(model, Checkpoint):
        require_path(model, "model", ", a hub id or a Checkpoint")
    checkpoint = (
        model if isinstance(model, Checkpoint) else load_checkpoint(model, adapter=adapter, device=device)
    )
    with checkpoint.evaluating(), hidden_state_hooks(checkpoint.model, []) as hooks:
        tokens = torch.arange(3, device=input_device(checkpoint.model))[:, None]
        hooks.expect(torch.zeros_like(tokens), 1)
        logits = call(checkpoint.model, tokens).logits[:, 0]
        with hooks.disabled():
            return find_head(checkpoint.model, hooks.final_states()[:, 0], logits)
