"""What happens to weights after their training: noise, pruning, rounding, scaling, merging, and tuning on.

Each is a function of the trained weights and those of the base that the training went on from; none knows of
tokens or modes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

Weights = Mapping[str, torch.Tensor]
Damage = Callable[[Weights, Weights, torch.Generator], dict[str, torch.Tensor]]
"""Trained weights, the base's, and a generator in; weights out."""


def noise(share: float) -> Damage:
    """Normal noise on every matrix, its standard deviation this share of the matrix's own."""

    def damaged(trained: Weights, base: Weights, generator: torch.Generator) -> dict[str, torch.Tensor]:
        return {
            name: w + share * w.std() * torch.randn(w.shape, generator=generator) if w.ndim > 1 else w
            for name, w in trained.items()
        }

    return damaged


def pruned(share: float) -> Damage:
    """The smallest weights of every matrix set to 0, this share of them."""

    def damaged(trained: Weights, base: Weights, generator: torch.Generator) -> dict[str, torch.Tensor]:
        return {
            name: torch.where(w.abs() > w.abs().flatten().quantile(share), w, 0.0) if w.ndim > 1 else w
            for name, w in trained.items()
        }

    return damaged


def rounded(bits: int) -> Damage:
    """Every row of a matrix rounded to whole steps, so many bits of them, up to its largest weight."""

    def damaged(trained: Weights, base: Weights, generator: torch.Generator) -> dict[str, torch.Tensor]:
        found = dict(trained)
        for name, w in trained.items():
            if w.ndim > 1:
                step = w.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / (2 ** (bits - 1) - 1)
                found[name] = (w / step).round() * step
        return found

    return damaged


def scaled(share: float) -> Damage:
    """What training changed, scaled: an adapter at this share of its strength; below 1 a merge with the
    base."""

    def damaged(trained: Weights, base: Weights, generator: torch.Generator) -> dict[str, torch.Tensor]:
        return {name: base[name] + share * (w - base[name]) for name, w in trained.items()}

    return damaged


DAMAGES: Mapping[str, Damage] = {
    "noise-5": noise(0.05),
    "noise-15": noise(0.15),
    "pruned-20": pruned(0.2),
    "pruned-40": pruned(0.4),
    "int8": rounded(8),
    "int4": rounded(4),
    "half-merged": scaled(0.5),
    "quarter-merged": scaled(0.75),
    "scaled-up": scaled(1.25),
}
"""By the name of a checkpoint's folder; benign fine-tuning, which needs rows, is in study.py."""
