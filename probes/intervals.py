"""Intervals over prompts, from the influence of each prompt on a number.

Influences are (n,): by how much the number changes with the weight of a prompt, so that its standard error is
sqrt(n / (n - 1) * sum of their squares).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from probes.score import Score

PROPORTION = "Clopper-Pearson, effective prompts"
POSITIVE = "t over prompts, on the logarithm"
ROUNDING = 1e-12
"""Standard error of a share that is nothing but rounding."""
DIFFERENCE = "MOVER of two Clopper-Pearson intervals, paired by prompt"


def standard_error(influence: NDArray[np.float64]) -> float:
    """Standard error of the number whose influences (n,) these are."""
    n = len(influence)
    return float(np.sqrt(n / (n - 1) * np.sum(influence**2)))


def proportion(value: float, influence: NDArray[np.float64], level: float = 0.95) -> Score:
    """Interval of a proportion in [0, 1] whose successes come in clusters.

    Clopper-Pearson with the number of independent trials that would give the same standard error, n of them
    where prompts do not differ, as where all or none succeed. Unlike Student's t it stays in [0, 1] and
    does not shrink to a point at a perfect score. Korn and Graubard (1998), "Confidence intervals for
    proportions with small expected number of positive counts estimated from survey data".
    """
    n = len(influence)
    se = standard_error(influence)
    spread = value * (1 - value)
    if se > ROUNDING and spread > 0:
        wider = stats.t.ppf((1 + level) / 2, n - 1) / stats.norm.ppf((1 + level) / 2)
        trials = spread / (se * wider) ** 2
    else:
        trials = float(n)
    successes, failures = value * trials, (1 - value) * trials
    low = stats.beta.ppf((1 - level) / 2, successes, failures + 1) if successes > 0 else 0.0
    high = stats.beta.ppf((1 + level) / 2, successes + 1, failures) if failures > 0 else 1.0
    return Score(value, float(low), float(high), se, level, PROPORTION, n)


def positive_mean(value: float, influence: NDArray[np.float64], level: float = 0.95) -> Score:
    """Interval of a mean of losses, all >= 0: Student's t for its logarithm, carried back.

    Stays above 0, and reaches farther upwards than downwards, as losses do.
    """
    n, se = len(influence), standard_error(influence)
    half = stats.t.ppf((1 + level) / 2, n - 1) * se / value if value > 0 else 0.0
    return Score(value, float(value * np.exp(-half)), float(value * np.exp(half)), se, level, POSITIVE, n)


def student(value: float, influence: NDArray[np.float64], level: float, method: str) -> Score:
    """Interval by Student's t over prompts."""
    n, se = len(influence), standard_error(influence)
    half = float(stats.t.ppf((1 + level) / 2, n - 1)) * se
    return Score(value, value - half, value + half, se, level, method, n)


def difference(
    a: Score, b: Score, of_a: NDArray[np.float64], of_b: NDArray[np.float64], share: float = 1.0
) -> Score:
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
    lengths = np.linalg.norm(of_a) * np.linalg.norm(of_b)
    correlation = float(np.clip(of_a @ of_b / lengths, -1, 1)) if lengths > 0 else 0.0
    value = a.estimate - share * b.estimate
    down = _reach(a.estimate - a.low, share * (b.high - b.estimate), correlation)
    up = _reach(a.high - a.estimate, share * (b.estimate - b.low), correlation)
    se = standard_error(of_a - share * of_b)
    return Score(value, value - down, value + up, se, a.level, DIFFERENCE, a.n_prompts)


def _reach(of_a: float, of_b: float, correlation: float) -> float:
    return float(np.sqrt(max(0.0, of_a**2 + of_b**2 - 2 * correlation * of_a * of_b)))
