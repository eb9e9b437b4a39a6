"""How many prompts settle a question about a mean of n independent influences, and what n prompts can settle.

For a one-sided t test of a difference d with n prompts of standard deviation sd, the power is that of the
noncentral t distribution with noncentrality d sqrt(n) / sd (Cohen, 1988, "Statistical Power Analysis"). `sd`
is the standard error of an estimate times sqrt(n): for two runs on the same prompts, that of the paired
difference.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from margin.stats.quantiles import noncentral_t_tail, t_quantile

MOST_PROMPTS = 10**7
MOST_ERRORS = 1e6
"""Differences beyond this many standard errors are found whatever the number of prompts."""


def power(
    difference: ArrayLike, sd: ArrayLike, n_prompts: ArrayLike, alpha: float = 0.05
) -> NDArray[np.float64]:
    """Probability that the one-sided test at `alpha` finds `difference`. Broadcasts; 0 to 1."""
    difference, sd, n = np.broadcast_arrays(
        *(np.asarray(x, dtype=np.float64) for x in (difference, sd, n_prompts))
    )
    scaled = difference * np.sqrt(n)
    noncentrality = scaled / np.maximum(sd, np.abs(scaled) / MOST_ERRORS + np.finfo(float).tiny)
    found: NDArray[np.float64] = noncentral_t_tail(t_quantile(1 - alpha, n - 1), n - 1, noncentrality)
    return found


def detectable_difference(sd: float, n_prompts: int, alpha: float = 0.05, target: float = 0.8) -> float:
    """Smallest difference that n prompts find with probability `target`; infinite for fewer than two."""
    from scipy.optimize import brentq  # slow to import, and most reports do without

    if n_prompts < 2:
        return np.inf
    if sd == 0 or target <= alpha:
        return 0.0
    unit = sd / np.sqrt(n_prompts)
    most = 1.0
    while power(most * unit, sd, n_prompts, alpha) < target:
        most *= 2
    found: float = brentq(lambda d: float(power(d * unit, sd, n_prompts, alpha)) - target, 0, most)
    return float(unit * found)


def prompts_needed(difference: float, sd: float, alpha: float = 0.05, target: float = 0.8) -> int | None:
    """Fewest prompts that find `difference` with probability `target`; None where 10 million would not."""
    if difference <= 0 or power(difference, sd, MOST_PROMPTS, alpha) < target:
        return None
    low, high = 1, MOST_PROMPTS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(difference, sd, middle, alpha) >= target else (middle, high)
    return high
