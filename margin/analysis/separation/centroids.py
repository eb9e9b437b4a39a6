"""Distances to centroids and between them, from distances between points alone.

For weights u that sum to 1, the centroid m = sum of u_j x_j has |x_i - m|^2 = (D u)_i - u.D u / 2, with D the
squared Euclidean distances: no coordinates are needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from margin.analysis.design import Design
from margin.analysis.distances import Distances


@dataclass(frozen=True, eq=False)
class Centroids:
    """Squared Euclidean distances of m centroids."""

    to_points: NDArray[np.float64]
    """(N, m) from each point to each centroid."""
    between: NDArray[np.float64]
    """(m, m) between the centroids; 0 where two of them coincide up to rounding."""


def centroids(distances: Distances, weights: NDArray[np.float64]) -> Centroids:
    """Distances of the centroids with weights (N, m), each column summing to 1. O(N d m)."""
    products = distances.matmul(weights)
    cross = weights.T @ products
    own = np.diag(cross) / 2
    between = (cross + cross.T) / 2 - own[:, None] - own
    between[between <= distances.resolution * cross.max(initial=0)] = 0
    return Centroids(to_points=np.maximum(products - own, 0), between=between)


def mode_centroids(distances: Distances, design: Design) -> Centroids:
    """Distances of the k centroids of the modes."""
    return centroids(distances, design.onehot / design.onehot.sum(axis=0))
