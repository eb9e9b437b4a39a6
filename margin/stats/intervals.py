"""Intervals over prompts, one place each.

Most rest on the *influence* of each prompt on a number: (n,), its derivative by the weight of the prompt,
which sums to 0. The standard error is that of the infinitesimal jackknife, sqrt(n/(n-1) sum U_p^2) (Efron,
1982, "The Jackknife, the Bootstrap and Other Resampling Plans", ch. 6). The others count prompts, and are
exact.

Where prompts come in clusters (`over`), the clusters are the independent units: influences are summed by
cluster, degrees of freedom are G - 1 (Cameron and Miller, 2015, "A practitioner's guide to cluster-robust
inference"), and counts are of effective clusters.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from margin.stats.clusters import Clusters
from margin.stats.estimate import Estimate
from margin.stats.quantiles import beta_quantile, normal_quantile, t_quantile

JACKKNIFE = "infinitesimal jackknife, t"
PROPORTION = "Clopper-Pearson, effective prompts"
POSITIVE = "t over prompts, on the logarithm"
MOVER = "MOVER of two Clopper-Pearson intervals, paired by prompt"
EXACT = "Clopper-Pearson"
ONE_SIDED = f"{EXACT}, one-sided"

ROUNDING = 1e-12
"""Standard error of a share that is nothing but rounding."""


def jackknife_variance(influence: NDArray[np.float64]) -> NDArray[np.float64]:
    """Variances n/(n-1) sum U_p^2 of the numbers whose influences (n,) or (n, G) these are: () or (G,)."""
    n = len(influence)
    variances: NDArray[np.float64] = n / (n - 1) * np.sum(influence**2, axis=0)
    return variances


def standard_error(influence: NDArray[np.float64]) -> float:
    """Standard error of the number whose influences (n,) these are."""
    return float(np.sqrt(jackknife_variance(influence)))


def t_interval(
    value: float,
    influence: NDArray[np.float64],
    level: float = 0.95,
    method: str = JACKKNIFE,
    *,
    counted_twice: float = 0.0,
    at_least: float = 0.0,
    over: Clusters | None = None,
) -> Estimate:
    """Interval by Student's t with n-1 degrees of freedom; none from fewer than two prompts (or clusters).

    `counted_twice` is variance of second order, which the jackknife holds twice where it is known; it is at
    most half of the whole. `at_least` is variance that is there whatever the influences say.
    """
    U, sizes = _units(influence, over)
    if len(U) < 2:
        return Estimate(value, **sizes)
    variance = float(jackknife_variance(U))
    se = float(np.sqrt(max(variance - counted_twice, variance / 2, at_least)))
    half = float(t_quantile((1 + level) / 2, len(U) - 1)) * se
    return Estimate(value, value - half, value + half, se, level, method, **sizes)


def positive_mean(
    value: float, influence: NDArray[np.float64], level: float = 0.95, over: Clusters | None = None
) -> Estimate:
    """Interval of a mean of losses, all >= 0: Student's t for its logarithm, carried back.

    Stays above 0, and reaches farther upwards than downwards, as losses do.
    """
    U, sizes = _units(influence, over)
    se = standard_error(U)
    half = t_quantile((1 + level) / 2, len(U) - 1) * se / value if value > 0 else 0.0
    low, high = float(value * np.exp(-half)), float(value * np.exp(half))
    return Estimate(value, low, high, se, level, POSITIVE, **sizes)


def clopper_pearson(successes: float, trials: float, level: float) -> tuple[float, float]:
    """Exact interval of a rate; each end errs with probability (1 - level) / 2 at most.

    Numbers of trials need not be whole. Clopper and Pearson (1934), "The use of confidence or fiducial limits
    illustrated in the case of the binomial". Approximate intervals (Wilson) cover too seldom near 0 and 1.

    Example
    -------
    >>> low, high = clopper_pearson(0, 300, 0.90)
    >>> low, round(high, 4)
    (0.0, 0.0099)
    """
    tail, failures = (1 - level) / 2, trials - successes
    low = float(beta_quantile(tail, successes, failures + 1)) if successes > 0 else 0.0
    high = float(beta_quantile(1 - tail, successes + 1, failures)) if failures > 0 else 1.0
    return low, high


def share_of_prompts(hits: NDArray[np.bool_], level: float = 0.95, over: Clusters | None = None) -> Estimate:
    """Share of prompts (n,) that are hits, with its exact two-sided interval."""
    low, high, sizes = _exact(hits, level, over)
    return Estimate(float(hits.mean()), low, high, None, level, EXACT, **sizes)


def upper_bound(hits: NDArray[np.bool_], level: float = 0.95, over: Clusters | None = None) -> Estimate:
    """Share of prompts (n,) that are hits, with its exact one-sided upper bound; 0 of 300 gives 0.0099."""
    _, high, sizes = _exact(hits, 2 * level - 1, over)
    return Estimate(float(hits.mean()), None, high, None, level, ONE_SIDED, **sizes)


def lower_bound(hits: NDArray[np.bool_], level: float = 0.95, over: Clusters | None = None) -> Estimate:
    """Share of prompts (n,) that are hits, with its exact one-sided lower bound."""
    low, _, sizes = _exact(hits, 2 * level - 1, over)
    return Estimate(float(hits.mean()), low, None, None, level, ONE_SIDED, **sizes)


FEW_CLUSTERS = 5
"""Clusters with a hit (or with a miss) below which nothing is known of how much they vary."""


def _exact(
    hits: NDArray[np.bool_], level: float, over: Clusters | None
) -> tuple[float, float, dict[str, Any]]:
    """Clopper-Pearson interval of a share of prompts, and what it rests on."""
    n = len(hits)
    if over is None:
        return *clopper_pearson(int(hits.sum()), n, level), {"n_prompts": n}
    trials = effective_trials(hits, level, over)
    bounds = clopper_pearson(float(hits.mean()) * trials, trials, level)
    return *bounds, {"n_prompts": n, "n_clusters": len(over)}


def effective_trials(hits: NDArray[np.bool_], level: float, over: Clusters) -> float:
    """Independent trials that prompts (n,) in clusters are worth, some of them hits, at a level.

    The effective clusters while fewer than `FEW_CLUSTERS` hold a hit or a miss, and beyond that what gives
    the standard error over clusters (Korn and Graubard, 1998), never more than prompts, with t for the
    normal.

    Example
    -------
    >>> from margin.stats.clusters import make_clusters
    >>> effective_trials(np.zeros(6, dtype=bool), 0.9, make_clusters(["a", "a", "b", "b", "c", "c"]))
    3.0
    """
    n, value = len(hits), float(hits.mean())
    of_cluster, sizes = over.sums(hits.astype(np.float64)), over.sizes
    if min(np.sum(of_cluster > 0), np.sum(of_cluster < sizes)) < FEW_CLUSTERS:
        return over.effective
    se = standard_error((of_cluster - value * sizes) / n)
    if se <= ROUNDING:
        return over.effective
    wider = t_quantile((1 + level) / 2, len(over) - 1) / normal_quantile((1 + level) / 2)
    return float(min(float(n), value * (1 - value) / se**2) / wider**2)


def proportion(
    value: float,
    influence: NDArray[np.float64],
    level: float = 0.95,
    method: str = PROPORTION,
    *,
    over: Clusters | None = None,
) -> Estimate:
    """Interval of a proportion in [0, 1] whose successes come together, as the points of a prompt.

    Clopper-Pearson with the number of independent trials that would give the same standard error, n of them
    where prompts do not differ, as where all or none succeed. Unlike Student's t it stays in [0, 1] and
    does not shrink to a point at a perfect score. Korn and Graubard (1998), "Confidence intervals for
    proportions with small expected number of positive counts estimated from survey data".
    """
    U, sizes = _units(influence, over)
    se = standard_error(U)
    spread = value * (1 - value)
    if se > ROUNDING and spread > 0:
        wider = t_quantile((1 + level) / 2, len(U) - 1) / normal_quantile((1 + level) / 2)
        trials = float(spread / (se * wider) ** 2)
    else:
        trials = float(len(U)) if over is None else over.effective
    low, high = clopper_pearson(value * trials, trials, level)
    return Estimate(value, low, high, se, level, method, **sizes)


def mean_share(
    shares: NDArray[np.float64], level: float = 0.95, over: Clusters | None = None, wider: float = 1.0
) -> Estimate:
    """Mean of the shares (n,) of each prompt's draws, with a two-sided interval over prompts.

    The standard error is `wider` times what prompts show. One prompt (or cluster) alone has no interval.
    """
    value = float(shares.mean())
    influence = wider * (shares - value) / len(shares)
    if len(shares if over is None else over) < 2:
        return Estimate(value, **_units(influence, over)[1])
    return proportion(value, influence, level, over=over)


def difference(
    a: Estimate,
    b: Estimate,
    of_a: NDArray[np.float64],
    of_b: NDArray[np.float64],
    share: float = 1.0,
    over: Clusters | None = None,
) -> Estimate:
    """Interval of a - share * b for two proportions of the same prompts, with influences (n,) of each.

    Each end is put together from the ends of the two intervals and their correlation over prompts (MOVER:
    Zou and Donner, 2008, "Construction of confidence limits about effect measures"; for single trials it is
    method 10 of Newcombe, 1998), so that it does not shrink to a point where both are perfect.

    Raises
    ------
    ValueError : a proportion without an interval.
    """
    if a.low is None or a.high is None or b.low is None or b.high is None:
        raise ValueError("a difference needs two proportions with intervals")
    sizes = _units(of_a - share * of_b, over)[1]
    of_a, of_b = (_units(each, over)[0] for each in (of_a, of_b))
    lengths = np.linalg.norm(of_a) * np.linalg.norm(of_b)
    correlation = float(np.clip(of_a @ of_b / lengths, -1, 1)) if lengths > 0 else 0.0
    value = a.estimate - share * b.estimate
    down = _reach(a.estimate - a.low, share * (b.high - b.estimate), correlation)
    up = _reach(a.high - a.estimate, share * (b.estimate - b.low), correlation)
    se = standard_error(of_a - share * of_b)
    return Estimate(value, value - down, value + up, se, a.level, MOVER, **sizes)


def _reach(of_a: float, of_b: float, correlation: float) -> float:
    return float(np.sqrt(max(0.0, of_a**2 + of_b**2 - 2 * correlation * of_a * of_b)))


def _units(
    influence: NDArray[np.float64], over: Clusters | None
) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """Influences of the independent units, and how many prompts (and clusters) there are."""
    about: dict[str, Any] = {"n_prompts": len(influence), "influence": influence}
    if over is None:
        return influence, about
    return over.sums(influence), about | {"n_clusters": len(over)}
