"""Interval for a share of successes that come in clusters (the points of a prompt)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from margin.analysis.estimate import Estimate

METHOD = "Clopper-Pearson, effective prompts"


def proportion_estimate(
    value: float, influence: NDArray[np.float64], level: float = 0.95, method: str = METHOD
) -> Estimate:
    """Interval of a proportion in [0, 1] from the influences (n,) of the prompts.

    Clopper-Pearson with the number of independent trials that would give the same standard error, n of them
    where all or none succeed. Unlike Student's t it stays in [0, 1] and does not shrink to a point at a
    perfect score. Korn and Graubard (1998), "Confidence intervals for proportions with small expected number
    of positive counts estimated from survey data".
    """
    n = len(influence)
    se = float(np.sqrt(n / (n - 1) * np.sum(influence**2)))
    spread = value * (1 - value)
    if se > 0 and spread > 0:
        wider = stats.t.ppf((1 + level) / 2, n - 1) / stats.norm.ppf((1 + level) / 2)
        trials = spread / (se * wider) ** 2
    else:
        trials = float(n)
    successes, failures = value * trials, (1 - value) * trials
    low = stats.beta.ppf((1 - level) / 2, successes, failures + 1) if successes > 0 else 0.0
    high = stats.beta.ppf((1 + level) / 2, successes + 1, failures) if failures > 0 else 1.0
    return Estimate(value, float(low), float(high), se, level, method, n)
