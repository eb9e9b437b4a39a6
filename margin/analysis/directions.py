"""Directions between modes, found on other prompts than those that are steered, and what they are compared
with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from margin.stats.seeds import generator

Float = NDArray[np.float64]
Pair = tuple[int, int]
"""Recipient and donor, by their places among the modes."""

PROJECTED_OUT = "projected out"


def directions(states: Float, fold: NDArray[np.intp]) -> Float:
    """(folds, k, k, d) mean difference of two modes' states (n, k, d): [f, a, b] leads from a to b.

    Over the prompts outside each fold, so that no prompt is steered by a direction it had a part in.
    """
    means_of = np.stack([states[fold != f].mean(axis=0) for f in range(fold.max() + 1)])
    found: Float = means_of[:, None] - means_of[:, :, None]
    return found


def permuted(states: Float, rng: np.random.Generator) -> Float:
    """States (n, k, d) with the modes permuted within each prompt."""
    order = rng.permuted(np.tile(np.arange(states.shape[1]), (len(states), 1)), axis=1)
    return np.take_along_axis(states, order[:, :, None], axis=1)


def of_length(vectors: Float, like: Float) -> Float:
    """Vectors (..., d) scaled to the lengths of others; those of no length stay."""
    own = np.linalg.norm(vectors, axis=-1, keepdims=True)
    found: Float = vectors * np.linalg.norm(like, axis=-1, keepdims=True) / np.where(own > 0, own, 1)
    return found


@dataclass(frozen=True, eq=False)
class Directions:
    """Directions between modes at some layers, and those they are compared with, by what they are."""

    vectors: dict[str, dict[int, Float]]
    """By control and layer: (folds, k, k, d), [f, a, b] from a to b, for the prompts of fold f."""
    centres: dict[int, Float]
    """By layer: (folds, d) mean over all modes of the prompts outside each fold."""
    fold: NDArray[np.intp]
    """(n,) fold of each prompt."""

    @classmethod
    def of(
        cls,
        states: Mapping[int, Float],
        decoys: Mapping[int, Float],
        fold: NDArray[np.intp],
        decoy_prompts: tuple[int, ...],
        seed: int,
    ) -> Directions:
        """From the states (n, k, d) of layers, and those of a decoy set on some of the prompts."""
        found: dict[str, dict[int, Float]] = {"direction": {}, "random": {}, "permuted": {}}
        centres = {}
        for layer, its in states.items():
            live = directions(its, fold)
            rng = generator(seed, "trace", "steer", str(layer))
            found["direction"][layer] = live
            found["random"][layer] = of_length(rng.standard_normal(live.shape), live)
            found["permuted"][layer] = of_length(directions(permuted(its, rng), fold), live)
            if layer in decoys:
                of_decoys = directions(decoys[layer], fold[list(decoy_prompts)])
                if len(of_decoys) == len(live) and np.isfinite(of_decoys).all():
                    found.setdefault("decoys", {})[layer] = of_length(of_decoys, live)
            centres[layer] = np.stack([its[fold != f].mean(axis=(0, 1)) for f in range(fold.max() + 1)])
        return cls(found, centres, fold)

    @property
    def controls(self) -> list[str]:
        """What there are directions of."""
        return list(self.vectors)

    def changed(
        self,
        layer: int,
        pair: Pair,
        control: str,
        dose: float,
        prompts: NDArray[np.intp],
        own: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """(B, d) the states of some prompts with a direction added, or projected out."""
        fold = self.fold[prompts]
        if control == PROJECTED_OUT:
            along = self.vectors["direction"][layer][fold, pair[0], pair[1]]
            length = np.linalg.norm(along, axis=1, keepdims=True)
            unit = along / np.where(length > 0, length, 1)
            away = ((own - self.centres[layer][fold]) * unit).sum(axis=1, keepdims=True)
            found: NDArray[np.float32] = (own - away * unit).astype(np.float32)
            return found
        vector = self.vectors[control][layer][fold, pair[0], pair[1]]
        steered: NDArray[np.float32] = (own + dose * vector).astype(np.float32)
        return steered
