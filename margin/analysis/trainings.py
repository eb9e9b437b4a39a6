"""Two recipes of training, each trained several times: is one better, or did one training turn out better?

An interval over prompts says what other prompts would have shown of the same checkpoints. Another training of
the same recipe gives another checkpoint, and how much that moves the margin is a variance of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from margin.errors import MarginError
from margin.short import Short
from margin.stats.clusters import Clusters
from margin.stats.estimate import Estimate
from margin.stats.intervals import jackknife_variance
from margin.stats.quantiles import noncentral_t_tail, t_quantile
from margin.stats.satterthwaite import satterthwaite

METHOD = "over trainings and prompts, Satterthwaite"
ALPHA, POWER = 0.05, 0.8
MOST = 1000
"""Trainings a recipe beyond which no number is named."""


@dataclass(frozen=True, eq=False)
class RecipeDifference(Short):
    """Margin of one recipe less that of another, each the mean over its trainings."""

    difference: Estimate
    """With an interval over trainings and prompts; none where a recipe was trained once."""
    of_prompts: float
    """Variance that other prompts would bring."""
    of_trainings: float
    """Variance that other trainings would bring; NaN where a recipe was trained once."""
    trainings: tuple[int, int]
    """Trainings of the two recipes."""
    trainings_to_settle: int | None
    """Fewest trainings of each recipe that find a difference of the size estimated with probability 0.8
    (one-sided 5%) on as many prompts; None where none would, or where it is not known."""

    @property
    def dominant(self) -> str:
        """Which of the two brings more of the variance: "trainings" or "prompts"."""
        return "trainings" if self.of_trainings > self.of_prompts else "prompts"


def recipe_difference(
    first: Sequence[tuple[float, NDArray[np.float64]]],
    second: Sequence[tuple[float, NDArray[np.float64]]],
    level: float = 0.95,
    over: Clusters | None = None,
) -> RecipeDifference:
    """The second recipe's margin less the first's.

    Parameters
    ----------
    first, second : margin and influence (n,) of each training, all on the same prompts in one order.
    over : clusters of the prompts.

    The variance is that of prompts, from the influences averaged over trainings, and that of trainings,
    s^2 / R of each recipe (Welch, 1947, "The generalization of 'Student's' problem"), with Satterthwaite's
    degrees of freedom.

    Raises
    ------
    MarginError : a recipe without a training.
    """
    if not first or not second:
        raise MarginError("a recipe without a training cannot be compared: name a run of each")
    values = [np.array([value for value, _ in each]) for each in (first, second)]
    U = np.mean([U for _, U in second], axis=0) - np.mean([U for _, U in first], axis=0)
    n = len(U)
    U = U if over is None else over.sums(U)
    of_prompts = float(jackknife_variance(U))
    sizes = (len(first), len(second))
    value = float(values[1].mean() - values[0].mean())
    about: dict[str, Any] = {"n_prompts": n, "n_clusters": None if over is None else len(over)}
    if min(sizes) < 2:
        plain = Estimate(value, method="none: a recipe trained once says nothing of recipes", **about)
        return RecipeDifference(plain, of_prompts, np.nan, sizes, None)
    spread = [float(each.var(ddof=1)) for each in values]
    of_trainings = spread[0] / sizes[0] + spread[1] / sizes[1]
    parts = [(of_prompts, len(U) - 1)]
    parts += [(s / r, r - 1) for s, r in zip(spread, sizes, strict=True)]
    se, degrees = satterthwaite(parts)
    half = float(t_quantile((1 + level) / 2, degrees)) * se
    found = Estimate(value, value - half, value + half, se, level, METHOD, **about)
    needed = _trainings_needed(abs(value), of_prompts, spread, len(U) - 1)
    return RecipeDifference(found, of_prompts, of_trainings, sizes, needed)


def _trainings_needed(
    difference: float, of_prompts: float, spread: Sequence[float], degrees: int
) -> int | None:
    def found(R: int) -> bool:
        se, df = satterthwaite([(of_prompts, degrees), *((s / R, R - 1) for s in spread)])
        return bool(se == 0 or noncentral_t_tail(t_quantile(1 - ALPHA, df), df, difference / se) >= POWER)

    high = 2
    while not found(high):
        high *= 2
        if high > MOST:
            return None
    low = max(high // 2, 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if found(middle) else (middle, high)
    return high
