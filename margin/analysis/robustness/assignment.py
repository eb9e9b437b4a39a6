"""Points assigned to modes: each to the nearest, and whether it lies within the cloud of that mode."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from margin.analysis.distances import ROWS
from margin.analysis.robustness.rules import FITS, Float
from margin.analysis.vectors import FloatArray, blocks
from margin.inputs.condition import Rule
from margin.short import Short
from margin.stats.clusters import Clusters
from margin.stats.estimate import Estimate
from margin.stats.folds import wider_share
from margin.stats.intervals import mean_share

RELIABLE = 0.9
"""Balanced accuracy on points of known mode under which a rule's rates are indicative only."""
OUTSIDE_P = 0.05
"""Conformal p-value under which a point is outside: at most this share of a mode's own points are."""


@dataclass(frozen=True, eq=False)
class Assignment(Short):
    """The modes N points are assigned to by one rule, each by a fit on prompts other than its own."""

    nearest: NDArray[np.intp]
    """(N,) index of the nearest mode."""
    p_value: Float
    """(N,) conformal p-value of belonging to that mode, in (0, 1]."""
    confusion: Float
    """(k, k + 1) shares of the points of each mode (rows) assigned to each mode and, last, outside."""
    correct: Float
    """(n,) share of each prompt's points of known mode that are nearest to their own."""
    wider: float
    """Factor on the standard error of their mean, by `margin.stats.folds.wider_share`."""

    @property
    def outside(self) -> NDArray[np.bool_]:
        """(N,) whether a point lies outside the mode it is nearest to."""
        return self.p_value < OUTSIDE_P

    @property
    def reliable(self) -> bool:
        """Whether points of known mode are placed well enough for rates to be more than indicative."""
        return self.balanced_accuracy >= RELIABLE

    @property
    def balanced_accuracy(self) -> float:
        """Mean over modes of the share of their points that are nearest to them; chance is 1/k."""
        return float(self.correct.mean())

    def accuracy(self, level: float = 0.95, over: Clusters | None = None) -> Estimate:
        """The balanced accuracy with its interval, for these very fits on new prompts.

        Where noise directs the fits, folds' errors repeat each other, which is made up for: 95% intervals
        cover .92 to .99 (.82 to .95 without), over clusters too; those of the discriminant .90 or more.
        """
        return mean_share(self.correct, level, over, self.wider)


def assign(
    rule: Rule,
    X: FloatArray,
    reference: NDArray[np.intp],
    prompt: NDArray[np.intp],
    fold: NDArray[np.intp],
) -> Assignment:
    """Assign every point, fold by fold of prompts.

    A point is outside the nearest mode c by p = (1 + #{i in c: d_i >= d}) / (n + 1), with d its distance from
    c and d_i those of c's own points, each by a fit without its prompt (Vovk, 2015, "Cross-conformal
    predictors"). From fewer than 20 prompts nothing can be called outside.

    Parameters
    ----------
    X : (N, d) points.
    reference : (n, k) places of the points of known mode.
    prompt : (N,) index of each point's prompt, 0 to n-1.
    fold : (n,) fold of each prompt; at least two folds.
    """
    n, k = reference.shape
    distances, of_means = np.empty((len(X), k)), np.empty((fold.max() + 1, k, k))
    for held_out in range(len(of_means)):
        fit = FITS[rule](X, reference[fold != held_out])
        tested = np.flatnonzero(fold[prompt] == held_out)
        for part in blocks(len(tested), ROWS):
            rows = tested[part]
            own = X[reference[prompt[rows]]].mean(axis=1, dtype=np.float64)
            distances[rows] = fit.distances(X[rows].astype(np.float64, copy=False), own)
        of_means[held_out] = fit.distances(
            fit.means, np.broadcast_to(fit.means.mean(axis=0), fit.means.shape)
        )
    wider = wider_share(-(distances[reference] ** 2), -(of_means**2))
    if rule == "centroid":
        # A point of known mode is part of the mean taken away from it, a control's is not: where their noise
        # is alike, the control's distance is larger by this factor. Where they share it, this errs inwards.
        distances[reference] *= np.sqrt((k + 1) / (k - 1))
    nearest = distances.argmin(axis=1)
    p_value = np.empty(len(X))
    for mode in range(k):
        calibration = np.sort(distances[reference[:, mode], mode])
        here = nearest == mode
        farther = n - np.searchsorted(calibration, distances[here, mode], side="left")
        p_value[here] = (1 + farther) / (n + 1)
    outcome = np.where(p_value < OUTSIDE_P, k, nearest)
    confusion = (outcome[reference][:, :, None] == np.arange(k + 1)).mean(axis=0)
    correct = (nearest[reference] == np.arange(k)).mean(axis=1)
    return Assignment(nearest, p_value, confusion, correct, wider)
