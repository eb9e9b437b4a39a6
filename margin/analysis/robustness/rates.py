"""Rates over prompts, with bounds that count each prompt once however often it was drawn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from margin.analysis.estimate import Estimate
from margin.analysis.separation.proportion import proportion_estimate

EXACT = "Clopper-Pearson, one-sided"


def share_of_prompts(count: int, n: int, level: float = 0.95) -> Estimate:
    """Share of prompts with its exact two-sided interval, as `upper_bound`."""
    tail = (1 - level) / 2
    low = float(stats.beta.ppf(tail, count, n - count + 1)) if count else 0.0
    high = float(stats.beta.ppf(1 - tail, count + 1, n - count)) if count < n else 1.0
    return Estimate(count / n, low, high, None, level, "Clopper-Pearson", n)


def upper_bound(count: int, n: int, level: float = 0.95) -> Estimate:
    """Rate of prompts with its exact one-sided upper bound; 0 of 300 gives 0.0099.

    Clopper and Pearson (1934), "The use of confidence or fiducial limits illustrated in the case of the
    binomial". Approximate bounds (Wilson) cover too seldom near 0, which is where it matters.
    """
    high = float(stats.beta.ppf(level, count + 1, n - count)) if count < n else 1.0
    return Estimate(count / n, None, high, None, level, EXACT, n)


def lower_bound(count: int, n: int, level: float = 0.95) -> Estimate:
    """Rate of prompts with its exact one-sided lower bound, as `upper_bound`."""
    low = float(stats.beta.ppf(1 - level, count, n - count + 1)) if count else 0.0
    return Estimate(count / n, low, None, None, level, EXACT, n)


def mean_share(shares: NDArray[np.float64], level: float = 0.95) -> Estimate:
    """Mean of the shares (n,) of each prompt's draws, with a two-sided interval over prompts.

    One prompt alone has none.
    """
    value = float(shares.mean())
    if len(shares) < 2:
        return Estimate(value, n_prompts=len(shares))
    return proportion_estimate(value, (shares - value) / len(shares), level)


def corrected_rates(observed: NDArray[np.float64], confusion: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rates (k + 1,) at which points truly belong to each mode or, last, to none.

    What is observed is a mixture of what points of each mode look like; the mixture that comes closest is
    taken (least squares, no rate below 0), points of no mode being seen as outside. Rogan and Gladen (1978),
    "Estimating prevalence from the results of a screening test", for more than two classes.

    Parameters
    ----------
    observed : (k + 1,) rates of landing in each mode and outside, summing to 1.
    confusion : (k, k + 1) the same rates for points of each known mode.
    """
    k = len(confusion)
    looks = np.vstack([confusion, np.eye(k + 1)[k]])
    rates, _ = optimize.nnls(looks.T, observed)
    return rates / rates.sum()
