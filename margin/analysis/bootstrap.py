"""Silhouettes under resampled prompts, all replicates by matrix products.

A replicate draws n prompts with replacement, which is the same as giving each prompt a multinomial weight.
The silhouette kernel takes weights, so no replicate copies a point, and copies of a prompt are left out of
its own mean distances by weight: a bootstrap that recomputes plain silhouettes on copied points sees
distances of 0 to the copies.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from margin.analysis.distances import Distances
from margin.analysis.silhouette import mean_distances, silhouette, twin_distances
from margin.stats.design import Design

CHUNK = 2**25
"""Numbers held at a time in the product over many replicates (256 MB in float64)."""

IN_CACHE = 2**16
"""Numbers worked on at a time where silhouettes are made of that product (half a megabyte)."""


def prompt_weights(n_prompts: int, replicates: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """(n, replicates) multinomial weights: how often each replicate draws each prompt. Columns sum to n."""
    draws = rng.multinomial(n_prompts, np.full(n_prompts, 1 / n_prompts), size=replicates)
    return np.ascontiguousarray(draws.T.astype(np.float32))


def replicate_samples(
    distances: Distances, design: Design, weights: NDArray[np.floating]
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.floating]]]:
    """Leave-prompt-out silhouettes (N, b) of the points, and their weights (N, b), under b of the columns of
    prompt weights at a time.

    Parameters
    ----------
    weights : (n, B) weights >= 0, as `prompt_weights` draws them.

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
