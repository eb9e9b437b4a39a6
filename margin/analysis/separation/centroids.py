"""Distances to centroids and between them, from distances between points alone.

For weights u that sum to 1, the centroid m = sum of u_j x_j has |x_i - m|^2 = (D u)_i - u.D u / 2, with D the
squared Euclidean distances: no coordinates are needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from margin.analysis.distances import Distances
from margin.stats.design import Design


@dataclass(frozen=True, eq=False)
class Centroids:
    """Squared Euclidean distances of sets of m centroids."""

    to_points: NDArray[np.float64]
    """(N, ..., m) from each point to each centroid."""
    between: NDArray[np.float64]
    """(..., m, m) between the centroids of a set; 0 where two of them coincide up to rounding."""


def centroids(distances: Distances, weights: NDArray[np.float64]) -> Centroids:
    """Distances of the centroids with weights (N, ..., m), each summing to 1 over points. O(N (d + m)) a
    centroid."""
    products = distances.matmul(weights.reshape(len(weights), -1)).reshape(weights.shape)
    cross = np.einsum("i...c,i...e->...ce", weights, products)
    own = np.einsum("...cc->...c", cross) / 2
    between = (cross + cross.swapaxes(-1, -2)) / 2 - own[..., :, None] - own[..., None, :]
    between[between <= distances.resolution * cross.max(axis=(-2, -1), keepdims=True)] = 0
    return Centroids(to_points=np.maximum(products - own, 0), between=between)


def mode_centroids(distances: Distances, design: Design) -> Centroids:
    """Distances of the k centroids of the modes."""
    return centroids(distances, design.onehot / design.onehot.sum(axis=0))
