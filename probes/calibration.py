"""Whether a probe's probabilities are what they say: Brier score, log-loss, expected calibration error."""

from __future__ import annotations

import numpy as np

from margin.probes.logistic import OutOfFold
from margin.stats.estimate import Estimate
from margin.stats.intervals import positive_mean, standard_error

BINS = 10
"""Bins of equal width from 0 to 1, by the probability of the likeliest mode."""
ECE_METHOD = "triangle inequality, multiplier bootstrap over prompts"


def brier(found: OutOfFold, level: float = 0.95) -> Estimate:
    """Mean over rows of the sum over modes of (probability - truth)^2; 0 to 2, constant guessing 1 - 1/k.

    Brier (1950), "Verification of forecasts expressed in terms of probability".
    """
    truth = np.eye(found.rows.n_modes)[found.rows.mode]
    loss = np.sum((found.probabilities - truth) ** 2, axis=1)
    return positive_mean(float(loss.mean()), found.influence(loss), level, found.rows.clusters)


def log_loss(found: OutOfFold, level: float = 0.95) -> Estimate:
    """Mean over rows of -ln(probability of the row's own mode), in nats; constant guessing gives ln k."""
    own = found.probabilities[np.arange(found.rows.n_points), found.rows.mode]
    loss = -np.log(np.maximum(own, np.finfo(np.float64).tiny))
    return positive_mean(float(loss.mean()), found.influence(loss), level, found.rows.clusters)


def calibration_error(
    found: OutOfFold, rng: np.random.Generator, level: float = 0.95, bins: int = BINS, draws: int = 2000
) -> Estimate:
    """Expected calibration error: sum over bins of |mean confidence - accuracy| x share of rows.

    Confidence is the probability of the likeliest mode; bins of equal width. In [0, 1], 0 for probabilities
    that are what they say; the estimate lies above the truth by what sampling adds to each gap, most where
    the truth is 0. Guo et al. (2017), "On calibration of modern neural networks".

    The interval reaches as far to either side as the sum of the gaps' sampling errors goes with probability
    `level`, drawn by Gaussian multipliers on prompts. By the triangle inequality it covers wherever the truth
    lies, 0 included, for these bins; it is wider than need be where gaps are large. O(draws n bins).
    """
    rows = found.rows
    confidence = found.probabilities.max(axis=1)
    member = np.minimum((confidence * bins).astype(np.intp), bins - 1)[:, None] == np.arange(bins)
    excess = np.where(member, (confidence - found.correct)[:, None], 0.0)
    influence = np.column_stack([found.influence(gap) for gap in excess.T])
    value = float(np.abs(excess.mean(axis=0)).sum())
    clusters = rows.clusters
    if clusters is not None:
        influence = clusters.sums(influence)
    n = rows.n_units
    errors = rng.standard_normal((draws, n)) @ influence * np.sqrt(n / (n - 1))
    reach = float(np.quantile(np.abs(errors).sum(axis=1), level))
    signs = np.sign(excess.mean(axis=0))
    return Estimate(
        value,
        max(0.0, value - reach),
        min(1.0, value + reach),
        standard_error(influence @ signs),
        level,
        ECE_METHOD,
        rows.n_prompts,
        None if clusters is None else n,
    )
