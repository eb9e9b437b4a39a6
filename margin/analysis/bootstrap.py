"""Bootstrap of the margin over prompts, all replicates by matrix products.

A replicate draws n prompts with replacement, which is the same as giving each prompt a multinomial weight.
The silhouette kernel takes weights, so no replicate copies a point, and copies of a prompt are left out of
its own mean distances by weight: a bootstrap that recomputes plain silhouettes on copied points sees
distances of 0 to the copies and covers far too little. Intervals are bias-corrected and accelerated (BCa:
Efron, 1987, "Better Bootstrap Confidence Intervals").
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from margin.analysis.design import Design
from margin.analysis.distances import Distances
from margin.analysis.estimate import Estimate
from margin.analysis.silhouette import mean_distances, silhouette, twin_distances

CHUNK = 2**25
"""Numbers held at a time in the product over many replicates (256 MB in float64)."""

IN_CACHE = 2**16
"""Numbers worked on at a time where silhouettes are made of that product (half a megabyte)."""


def prompt_weights(n_prompts: int, replicates: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """(n, replicates) multinomial weights: how often each replicate draws each prompt. Columns sum to n."""
    draws = rng.multinomial(n_prompts, np.full(n_prompts, 1 / n_prompts), size=replicates)
    return np.ascontiguousarray(draws.T.astype(np.float32))


def bootstrap_margins(
    distances: Distances, design: Design, weights: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Leave-prompt-out margin under each column of prompt weights.

    Parameters
    ----------
    weights : (n, B) weights >= 0, as `prompt_weights` draws them.

    Returns
    -------
    (B,) margins. Cost as `replicate_samples`.
    """
    margins = [
        np.einsum("nb,nb->b", samples, of_point) / of_point.sum(axis=0, dtype=np.float64)
        for samples, of_point in replicate_samples(distances, design, weights)
    ]
    return np.concatenate(margins)


def replicate_samples(
    distances: Distances, design: Design, weights: NDArray[np.floating]
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.floating]]]:
    """Leave-prompt-out silhouettes (N, b) of the points, and their weights (N, b), under b of the columns of
    prompt weights at a time, as `bootstrap_margins` takes them.

    A point's weight counts where it is a neighbour; points of weight 0 have silhouettes too. Cost: D @ M with
    M (N, k B); O(N d k B) where the distance is linear.
    """
    N, k = design.n_points, design.n_modes
    twin = twin_distances(distances, design)[:, None, :]
    present = (design.twin >= 0)[:, None, :]
    step = max(1, CHUNK // (N * k))
    for start in range(0, weights.shape[1], step):
        of_point = weights[design.prompt, start : start + step]
        by_mode = of_point[:, :, None] * design.onehot[:, None, :].astype(weights.dtype)
        totals = distances.matmul(by_mode.reshape(N, -1)).reshape(by_mode.shape)
        sizes = by_mode.sum(axis=0, dtype=np.float64)
        samples = np.empty(of_point.shape)
        few = max(1, IN_CACHE // by_mode[0].size)
        for first in range(0, N, few):
            rows = slice(first, first + few)
            excluded = present[rows] * of_point[rows, :, None]
            mean = mean_distances(totals[rows], sizes, twin[rows], excluded, distances.resolution)
            mode = np.broadcast_to(design.mode[rows, None], mean.shape[:-1])
            samples[rows] = silhouette(mean, mode).samples
        yield samples, of_point


def bca_estimate(
    value: float,
    replicates: NDArray[np.float64],
    influence: NDArray[np.float64],
    level: float = 0.95,
) -> Estimate:
    """BCa interval of a statistic.

    Parameters
    ----------
    value : the statistic on the data.
    replicates : (B,) its bootstrap replicates; B of 1,000 or more for a 95% interval.
    influence : (n,) its influences, whose skewness gives the acceleration.
    level : nominal coverage.
    """
    n = len(influence)
    below = (np.sum(replicates < value) + 0.5 * np.sum(replicates == value)) / len(replicates)
    edge = 0.5 / len(replicates)
    z0 = stats.norm.ppf(np.clip(below, edge, 1 - edge))
    spread = np.sum(influence**2)
    acceleration = np.sum(influence**3) / (6 * spread**1.5) if spread > 0 else 0.0
    z = z0 + stats.norm.ppf([(1 - level) / 2, (1 + level) / 2])
    low, high = np.quantile(replicates, stats.norm.cdf(z0 + z / (1 - acceleration * z)))
    se = float(np.std(replicates, ddof=1))
    return Estimate(value, float(low), float(high), se, level, "BCa bootstrap over prompts", n)
