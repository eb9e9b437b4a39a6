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
from margin.analysis.silhouette import mean_distances, own_distances, silhouette
from margin.stats.design import Design

CHUNK = 2**22
"""Numbers held at a time in the product over many replicates (32 MB in float64)."""

IN_CACHE = 2**16
"""Numbers worked on at a time where silhouettes are made of that product (half a megabyte)."""


def prompt_weights(design: Design, replicates: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """(n, replicates) multinomial weights: how often each replicate draws each prompt.

    Columns sum to n. Where prompts come in clusters, clusters are drawn, with all their prompts.
    """
    n = design.n_units
    draws = rng.multinomial(n, np.full(n, 1 / n), size=replicates)
    return np.ascontiguousarray(draws.T[design.unit].astype(np.float32))


def replicate_samples(
    distances: Distances, design: Design, weights: NDArray[np.floating]
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.floating]]]:
    """Leave-prompt-out silhouettes (N, b) of the points, and their weights (N, b), under b of the columns of
    prompt weights at a time.

    Parameters
    ----------
    weights : (n, B) weights >= 0, as `prompt_weights` draws them; alike within a cluster.

    A point's weight counts where it is a neighbour; points of weight 0 have silhouettes too. Cost: D @ M with
    M (N, k B); O(N d k B) where the distance is linear.
    """
    N, k = design.n_points, design.n_modes
    own, own_count = (each[:, None, :] for each in own_distances(distances, design))
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
            weight = of_point[rows, :, None]
            left_out = own_count[rows] * weight
            mean = mean_distances(totals[rows], sizes, own[rows] * weight, left_out, distances.resolution)
            mode = np.broadcast_to(design.mode[rows, None], mean.shape[:-1])
            samples[rows] = silhouette(mean, mode).samples
        yield samples, of_point
