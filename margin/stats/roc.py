"""Does a score tell which cases fail? The curve of hits against false alarms, and what risk is left.

N cases come in units (the rows of one prompt), which are independent of each other; cases of one are not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from margin.stats.clusters import Clusters
from margin.stats.estimate import Estimate
from margin.stats.intervals import clopper_pearson, proportion
from margin.stats.quantiles import binomial_quantile

Float = NDArray[np.float64]

AREA = "Obuchowski over prompts, effective prompts"
SENSITIVITY = "Clopper-Pearson, with that of the threshold"
RISK = "Clopper-Pearson over prompts, the threshold held"
COVERAGES = (0.5, 0.8, 0.9, 0.95, 1.0)
"""Shares of the cases that are kept, for a table."""


def area(scores: Float, own: NDArray[np.bool_]) -> tuple[float, Float]:
    """Area under the curve, and what each case adds to its deviation (DeLong's placements). O(N log N).

    The probability that a case of `own` has a higher score than another; ties count half.

    Example
    -------
    >>> area(np.array([3.0, 1.0, 2.0, 0.0]), np.array([True, True, False, False]))[0]
    0.75
    """
    sides = (scores[own], scores[~own])
    placements = np.empty(len(scores))
    placements[own] = _share_below(sides[0], sides[1])
    placements[~own] = 1 - _share_below(sides[1], sides[0])
    value = float(placements[own].mean())
    sizes = np.where(own, len(sides[0]), len(sides[1]))
    return value, (placements - value) / sizes


def auc(
    scores: Float,
    failed: NDArray[np.bool_],
    units: Clusters,
    level: float = 0.95,
    strata: NDArray[np.intp] | None = None,
) -> Estimate:
    """Probability that a case that failed has a higher score than one that did not; chance is 1/2.

    Obuchowski (1997), "Nonparametric analysis of clustered ROC curve data". NaN where no case that failed can
    be set beside one that did not.

    Parameters
    ----------
    scores, failed : (N,) of each case.
    units : of the cases: those of one prompt, or of one cluster of prompts.
    strata : (N,) cases are compared with those of their stratum only; the mean over strata by pairs, their
        shares held.
    """
    about: dict[str, Any] = {"n_prompts": len(units)}
    strata = np.zeros(len(failed), dtype=np.intp) if strata is None else strata
    value, pairs = 0.0, 0
    deviations = np.zeros(len(failed))
    for stratum in np.unique(strata):
        here = strata == stratum
        count = int(failed[here].sum() * (~failed[here]).sum())
        if count:
            of_stratum, deviations_here = area(scores[here], failed[here])
            value += count * of_stratum
            deviations[here] = count * deviations_here
            pairs += count
    if not pairs:
        why = "all failed" if failed.all() else "none failed" if not failed.any() else "no two to compare"
        return Estimate(np.nan, method=f"none: {why}", **about)
    if len(units) < 2:
        return Estimate(value / pairs, method="none: a single prompt", **about)
    return proportion(value / pairs, units.sums(deviations / pairs), level, AREA)


def sensitivity(
    scores: Float,
    failed: NDArray[np.bool_],
    units: Clusters,
    false_alarms: float = 0.01,
    level: float = 0.95,
) -> Estimate:
    """Share of the failures found at a rate of false alarms: flagged is what scores above a threshold.

    The threshold is the highest score that at most this share of the cases that did not fail exceed. Where it
    truly lies is as uncertain as so few cases make it: its interval is that of an order statistic, and each
    end goes with Clopper and Pearson's of the share found, a quarter of the error to each. Counts are of
    effective units (n^2 / sum n_g^2). So the lower end is 0 until some hundred cases show where the threshold
    lies. NaN with fewer than 1 / `false_alarms` cases that did not fail, and without a failure.
    """
    fine, bad = np.sort(scores[~failed])[::-1], scores[failed]
    about: dict[str, Any] = {"n_prompts": len(units)}
    needed = int(np.ceil(1 / false_alarms))
    if not len(bad):
        return Estimate(np.nan, method="none: none failed", **about)
    if len(fine) < needed:
        why = f"none: {len(fine)} did not fail, a rate of {false_alarms:g} asks for {needed} at least"
        return Estimate(np.nan, method=why, **about)

    def found(exceeding: float) -> float:
        """Share of the failures above the threshold that this share of the others exceed."""
        place = int(np.floor(exceeding * len(fine) + 1e-9))
        return 0.0 if exceeding < 0 else 1.0 if place >= len(fine) else float(np.mean(bad > fine[place]))

    value = found(false_alarms)
    tail = (1 - level) / 4
    trials = _effective(units, ~failed)
    few = float(binomial_quantile(tail, trials, false_alarms))
    many = float(binomial_quantile(1 - tail, trials, false_alarms)) + 1
    # With none above the threshold it may lie anywhere beyond the highest score: nothing need be found.
    least = found(few / trials) if few > 0 else 0.0
    most = found(many / trials)
    of_bad = _effective(units, failed)
    low = clopper_pearson(least * of_bad, of_bad, 1 - 2 * tail)[0]
    high = clopper_pearson(most * of_bad, of_bad, 1 - 2 * tail)[1]
    return Estimate(value, low, high, None, level, SENSITIVITY, **about)


def risk_coverage(scores: Float, failed: NDArray[np.bool_]) -> pd.DataFrame:
    """Risk left when only the share `coverage` with the lowest scores is kept: columns coverage, risk.

    One line a different score. El-Yaniv and Wiener (2010), "On the foundations of noise-free selective
    classification". O(N log N).

    Example
    -------
    >>> risk_coverage(np.array([0.1, 0.2, 0.9]), np.array([False, False, True]))["risk"].round(2).tolist()
    [0.0, 0.0, 0.33]
    """
    places = np.argsort(scores, kind="stable")
    ordered, kept = scores[places], np.arange(1, len(scores) + 1)
    last = np.append(ordered[1:] != ordered[:-1], True)  # cases of one score are kept together
    risk = np.cumsum(failed[places]) / kept
    return pd.DataFrame({"coverage": kept[last] / len(scores), "risk": risk[last]})


def selective_risk(
    scores: Float, failed: NDArray[np.bool_], units: Clusters, coverage: float, level: float = 0.95
) -> Estimate:
    """Share of failures among the share `coverage` of cases with the lowest scores, the threshold held."""
    threshold = np.quantile(scores, coverage, method="inverted_cdf")
    kept = scores <= threshold
    value = float(failed[kept].mean())
    influence = units.sums(np.where(kept, failed - value, 0.0) / kept.sum())
    if len(units) < 2:
        return Estimate(value, n_prompts=len(units))
    return proportion(value, influence, level, RISK)


def _effective(units: Clusters, some: NDArray[np.bool_]) -> int:
    """Independent cases that some of the cases are worth, each unit's hanging together."""
    sizes = units.sums(some.astype(np.float64))
    return max(1, int(sizes.sum() ** 2 / np.sum(sizes**2)))


def _share_below(values: Float, others: Float) -> Float:
    """Share of `others` below each value, ties as half."""
    ordered = np.sort(others)
    below, up_to = np.searchsorted(ordered, values, "left"), np.searchsorted(ordered, values, "right")
    found: Float = (below + up_to) / (2 * len(others))
    return found
