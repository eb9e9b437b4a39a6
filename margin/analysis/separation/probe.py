"""Can a linear probe tell the modes of prompts it has not seen?"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from margin.analysis.separation.paired import points_by_prompt
from margin.analysis.vectors import FloatArray, blocks
from margin.errors import MarginError
from margin.stats.covariance import covariance_within, means_of
from margin.stats.design import Design
from margin.stats.estimate import Estimate
from margin.stats.folds import LINEAR_IN_SIGN, repetition, signal_share
from margin.stats.intervals import proportion

PROMPTS = 512
"""Prompts scored at a time: the memory beside the input stays small."""


@dataclass(frozen=True)
class Probe:
    """How well a cross-fitted linear probe tells the modes."""

    accuracy: Estimate
    """Share of points whose mode is classified correctly; chance is 1/k."""
    auc: Estimate
    """Probability that the probe ranks one prompt's point of a mode above another's of a rival mode;
    mean over pairs of modes, chance is 1/2."""


def probe(X: FloatArray, design: Design, fold: NDArray[np.intp], level: float = 0.95) -> Probe:
    """Linear discriminant analysis with Ledoit-Wolf covariance, fitted on the other folds of prompts.

    It has no setting to tune, works where dimensions outnumber points, and is one linear solve a fold, where
    logistic regression takes hundreds of passes for the same kind of boundary.

    Parameters
    ----------
    X : (N, d) points of a complete design.
    fold : (n,) fold of each prompt; every fold leaves at least two prompts to fit on and holds at least two.

    Returns
    -------
    Both in [0, 1]. Intervals are over prompts, a prompt's points counting together, for the mean of these
    probes on new prompts: that other prompts would have given other probes is ignored. Where noise directs
    the probes, the folds' errors repeat each other: see `margin.stats.folds.repetition`.

    Cost: O(N d^2 + d^3 + N log N) a fold. Ledoit and Wolf (2004), "A well-conditioned estimator for
    large-dimensional covariance matrices"; Hand and Till (2001) for the AUC over pairs; Obuchowski (1997) for
    its interval with clustered points.

    Raises
    ------
    MarginError : a prompt was not seen under every mode, or a fold of a single prompt.
    """
    points = points_by_prompt(design)
    sizes = np.bincount(fold)
    if min(len(np.unique(design.unit[fold == f])) for f in range(len(sizes))) < 2:
        raise MarginError(f"a cross-fitted probe needs two prompts a fold, got {len(fold)} prompts in all")
    n, k = points.shape
    mean = X.mean(axis=0, dtype=np.float64).astype(X.dtype)
    scores, of_means = np.empty((n, k, k)), np.empty((len(sizes), k, k))
    for f in range(len(sizes)):
        held_out = fold == f
        training, tried = X[points[~held_out]], X[points[held_out]]
        training -= mean
        tried -= mean
        tried = np.concatenate([tried, training.mean(axis=0, keepdims=True)])
        found = discriminant_scores(training, tried)
        scores[held_out], of_means[f] = found[:-1], found[-1]
    correct = (scores.argmax(axis=2) == np.arange(k)).mean(axis=1)
    ranked = np.mean([_ranked(scores, fold, design.unit, a, b) for a, b in combinations(range(k), 2)], axis=0)
    influence = (correct - correct.mean()) / n
    # A prompt enters a comparison of two on either side, so its influence is twice its deviation.
    of_ranks = 2 * (ranked - ranked.mean()) / n
    noise = 1 - signal_share(scores, of_means)
    wider = np.sqrt([repetition(noise, LINEAR_IN_SIGN), repetition(noise)])
    return Probe(
        accuracy=proportion(float(correct.mean()), wider[0] * influence, level, over=design.clusters),
        auc=proportion(float(ranked.mean()), wider[1] * of_ranks, level, over=design.clusters),
    )


def discriminant_scores(training: FloatArray, points: FloatArray) -> NDArray[np.float64]:
    """Log-odds, up to a term common to the modes, of `points` (m, k, d) for each of k modes: (m, k, k).

    Parameters
    ----------
    training : (n, k, d) points of each mode, whose means and common covariance are used; modes are equally
        likely.
    """
    n, k, d = training.shape
    X, places = training.reshape(-1, d), np.arange(n * k).reshape(n, k)
    means = means_of(X, places)
    covariance = covariance_within(X, places, means)
    weights = linalg.solve(covariance, means.T, assume_a="pos")
    scores = np.concatenate([points[some] @ weights for some in blocks(len(points), PROMPTS)])
    found: NDArray[np.float64] = scores - np.einsum("kd,dk->k", means, weights) / 2
    return found


def _ranked(
    scores: NDArray[np.float64], fold: NDArray[np.intp], unit: NDArray[np.intp], a: int, b: int
) -> NDArray[np.float64]:
    """(n,) how often each prompt's points of modes a and b rank rightly against other units of its fold.

    Scores of different folds come from different probes and are not compared. Ties count half.
    """
    odds = scores[:, [a, b], a] - scores[:, [a, b], b]
    ranked = np.empty(len(odds))
    for f in range(fold.max() + 1):
        here = fold == f
        place = np.unique(odds[here], return_inverse=True)[1].reshape(-1, 2)
        _, of_unit, many = np.unique(unit[here], return_inverse=True, return_counts=True)
        own = place + of_unit[:, None] * (place.max() + 1)  # compares within a unit, as all others of it do
        before = np.cumsum(many)[of_unit] - many[of_unit]
        others = len(place) - many[of_unit]
        over_b = _below(place[:, 0], place[:, 1]) - (_below(own[:, 0], own[:, 1]) - before)
        over_a = _below(place[:, 1], place[:, 0]) - (_below(own[:, 1], own[:, 0]) - before)
        ranked[here] = (over_b + others - over_a) / (2 * others)
    return ranked


def _below(values: NDArray[np.intp], of: NDArray[np.intp]) -> NDArray[np.float64]:
    """How many of the others lie below each value; those as high count half."""
    ordered = np.sort(of)
    found: NDArray[np.float64] = (
        np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    ) / 2
    return found
