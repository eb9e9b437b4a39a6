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
    replicates = zip(replicate_samples(distances, design, weights), weights.T, strict=True)
    return np.array([np.average(samples, weights=w[design.prompt]) for samples, w in replicates])


def replicate_samples(
    distances: Distances, design: Design, weights: NDArray[np.floating]
) -> Iterator[NDArray[np.float64]]:
    """Leave-prompt-out silhouettes (N,) under each column of prompt weights, as `bootstrap_margins` takes
    them.

    A point's weight counts where it is a neighbour; points of weight 0 have silhouettes too. Cost: D @ M with
    M (N, k B); O(N d k B) where the distance is linear.
    """
    twin = twin_distances(distances, design)
    present = design.twin >= 0
    step = max(1, CHUNK // (design.n_points * design.n_modes))
    for start in range(0, weights.shape[1], step):
        w = weights[:, start : start + step]
        of_point = w[design.prompt]
        by_mode = of_point[:, :, None] * design.onehot[:, None, :].astype(w.dtype)
        totals = distances.matmul(by_mode.reshape(design.n_points, -1)).reshape(by_mode.shape)
        sizes = by_mode.sum(axis=0, dtype=np.float64)
        for b in range(w.shape[1]):
            excluded = present * of_point[:, b, None]
            mean = mean_distances(totals[:, b], sizes[b], twin, excluded, distances.resolution)
            yield silhouette(mean, design.mode).samples


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
