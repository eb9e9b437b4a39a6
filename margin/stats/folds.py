"""Cross-fitting folds that never part a prompt's points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from margin.stats.design import Design

AT_CHANCE = 2.0
"""Variance of a cross-fitted mean of scores linear in the fit, over that of held-out prompts given the fits,
where noise alone directs the fits. Prompt p's score under a fit that saw q, and q's under one that saw p, are
then one and the same product, counted in two folds. It falls to 1 with the share of noise in the fits
(Bengio and Grandvalet, 2004, "No unbiased estimator of the variance of K-fold cross-validation")."""


def prompt_folds(design: Design, rng: np.random.Generator, folds: int = 5) -> NDArray[np.intp]:
    """(n,) fold of each prompt, of equal size up to one; fewer folds where they would hold a single prompt.

    Where prompts come in clusters, clusters are dealt and never parted.

    With a prompt's points on both sides, a fit knows the prompt it is tried on: accuracies fall far below
    chance without a difference, and are of no use with one. Drawn by prompt id, so that the order of rows
    does not matter.
    """
    n = design.n_units
    dealt = rng.permutation(np.arange(n) % max(2, min(folds, n // 2)))
    fold = np.empty(n, dtype=np.intp)
    if design.clusters is None:
        fold[np.argsort(design.prompt_ids)] = dealt
        return fold
    first = np.full(n, "", dtype=object)  # the least id names a cluster, whatever its label
    for cluster, prompt_id in zip(design.unit[::-1], design.prompt_ids[::-1], strict=True):
        first[cluster] = min(first[cluster] or prompt_id, prompt_id)
    fold[np.argsort(first)] = dealt
    return fold[design.unit]


def training_weights(design: Design, fold: NDArray[np.intp]) -> NDArray[np.float64]:
    """(N, folds, k) weights of the centroid of each mode over the prompts outside each fold."""
    training = fold[design.prompt][:, None] != np.arange(fold.max() + 1)
    weights = training[:, :, None] * design.onehot[:, None, :]
    shares: NDArray[np.float64] = weights / weights.sum(axis=0)
    return shares
