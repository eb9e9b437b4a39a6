"""Means over pairs of prompts of different units, with the influence of each prompt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from margin.stats.design import Design


@dataclass(frozen=True, eq=False)
class PairMean:
    """Mean of a symmetric h(p, q) over pairs of prompts of different units (prompts, or clusters)."""

    value: float
    influence: NDArray[np.float64]
    """(n,) derivative by the weight of each prompt; it sums to 0."""


def pair_mean(sums: NDArray[np.float64], design: Design) -> PairMean:
    """The mean and its influences from the sums (n,) of h(p, q) over the prompts q of other units.

    With unequal clusters prompts have different numbers of others, so the mean is a ratio of sums.
    """
    others = design.n_prompts - design.prompts_in_unit
    pairs = others.sum()
    value = float(sums.sum() / pairs)
    return PairMean(value, 2 * (sums - value * others) / pairs)
