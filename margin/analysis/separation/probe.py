"""Can a linear probe tell the modes of prompts it has not seen?"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from sklearn.covariance import ledoit_wolf

from margin.analysis.design import Design
from margin.analysis.distances import FloatArray
from margin.analysis.estimate import Estimate
from margin.analysis.separation.folds import AT_CHANCE
from margin.analysis.separation.paired import points_by_prompt
from margin.analysis.separation.proportion import cross_fitted_proportion
from margin.errors import MarginError

LINEAR_IN_SIGN = 2 / np.pi
"""Share of the variance of the sign of a normal score that is linear in the score; of its rank nearly all."""


@dataclass(frozen=True)
class Probe:
    """How well a cross-fitted linear probe tells the modes."""

    accuracy: Estimate
    """Share of points whose mode is told rightly; chance is 1/k."""
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
    probes on new prompts: that other prompts would have given other probes is ignored (Bayle et al., 2020,
    "Cross-validation confidence intervals for test error"). At chance the folds' errors are not independent:
    unless chance is ruled out, the interval has the larger variance that they then have.

    Cost: O(N d^2 + d^3) a fold. Ledoit and Wolf (2004), "A well-conditioned estimator for large-dimensional
    covariance matrices"; Hand and Till (2001) for the AUC over pairs; Obuchowski (1997) for its interval with
    clustered points.

    Raises
    ------
    MarginError : a prompt was not seen under every mode, or a fold of a single prompt.
    """
    points = points_by_prompt(design)
    sizes = np.bincount(fold)
    if sizes.min() < 2:
        raise MarginError(f"a cross-fitted probe needs two prompts a fold, got {len(fold)} prompts in all")
    n, k = points.shape
    X = X - X.mean(axis=0, dtype=np.float64).astype(X.dtype)
    scores = np.empty((n, k, k))
    for f in range(len(sizes)):
        held_out = fold == f
        scores[held_out] = discriminant_scores(X[points[~held_out]], X[points[held_out]])
    correct = (scores.argmax(axis=2) == np.arange(k)).mean(axis=1)
    ranked = np.mean([_ranked(scores, fold, a, b) for a, b in combinations(range(k), 2)], axis=0)
    influence = (correct - correct.mean()) / n
    # A prompt enters a comparison of two on either side, so its influence is twice its deviation.
    of_ranks = 2 * (ranked - ranked.mean()) / n
    of_sign = 1 + (AT_CHANCE - 1) * LINEAR_IN_SIGN
    return Probe(
        accuracy=cross_fitted_proportion(float(correct.mean()), influence, 1 / k, of_sign, level),
        auc=cross_fitted_proportion(float(ranked.mean()), of_ranks, 1 / 2, AT_CHANCE, level),
    )


def discriminant_scores(training: FloatArray, points: FloatArray) -> NDArray[np.float64]:
    """Log-odds, up to a term common to the modes, of `points` (m, k, d) for each of k modes: (m, k, k).

    Parameters
    ----------
    training : (n, k, d) points of each mode, whose means and common covariance are used; modes are equally
        likely.
    """
    d = training.shape[2]
    means = training.mean(axis=0, dtype=np.float64)
    covariance, _ = ledoit_wolf((training - means).reshape(-1, d), assume_centered=True)
    # Shrinkage may leave next to nothing along an axis without variance, and leaves nothing where none vary.
    variance = float(np.trace(covariance)) / d
    covariance[np.diag_indices(d)] += 1e-9 * variance if variance > 0 else 1.0
    weights = linalg.solve(covariance, means.T, assume_a="pos")
    return points @ weights - np.einsum("kd,dk->k", means, weights) / 2


def _ranked(scores: NDArray[np.float64], fold: NDArray[np.intp], a: int, b: int) -> NDArray[np.float64]:
    """(n,) how often each prompt's points of modes a and b rank rightly against the rest of its fold.

    Scores of different folds come from different probes and are not compared. Ties count half.
    """
    odds = scores[:, [a, b], a] - scores[:, [a, b], b]
    ranked = np.empty(len(odds))
    for f in range(fold.max() + 1):
        of_a, of_b = odds[fold == f].T
        wins = (np.sign(of_a[:, None] - of_b) + 1) / 2
        np.fill_diagonal(wins, 0)
        ranked[fold == f] = (wins.sum(axis=0) + wins.sum(axis=1)) / (2 * (len(wins) - 1))
    return ranked
