"""Nearest-centroid accuracy on prompts that had no part in the centroids."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from margin.analysis.distances import Distances
from margin.analysis.separation.centroids import centroids
from margin.analysis.separation.paired import points_by_prompt
from margin.stats.design import Design
from margin.stats.estimate import Estimate
from margin.stats.folds import training_weights, wider_share
from margin.stats.intervals import proportion


def nearest_centroid_accuracy(
    distances: Distances, design: Design, fold: NDArray[np.intp], level: float = 0.95
) -> Estimate:
    """Share of points nearest to the centroid of their own mode over the other folds; chance is 1/k.

    Parameters
    ----------
    distances : squared Euclidean, between the N points of a complete design.
    fold : (n,) fold of each prompt.

    Returns
    -------
    In [0, 1]. The interval is over prompts, a prompt's points counting together, for the mean accuracy of
    these centroids on new prompts: that other prompts would have given other centroids is ignored (Bayle et
    al., 2020, "Cross-validation confidence intervals for test error"). Where noise directs the centroids the
    folds' errors repeat each other: see `margin.stats.folds.repetition`. With that 95% intervals cover .95 to
    .98, over clusters too (.89 to .92 without it, where modes hardly differ).

    Cost: O(N d k folds). Tibshirani et al. (2002), "Diagnosis of multiple cancer types by shrunken
    centroids", without the shrinkage.

    Raises
    ------
    MarginError : a prompt was not seen under every mode.
    """
    points = points_by_prompt(design)
    n, k = points.shape
    found = centroids(distances, training_weights(design, fold))
    scores = -found.to_points[points, fold[:, None]]
    correct = (scores.argmax(axis=2) == np.arange(k)).mean(axis=1)
    influence = wider_share(scores, -found.between) * (correct - correct.mean()) / n
    return proportion(float(correct.mean()), influence, level, over=design.clusters)
