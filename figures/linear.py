"""Two fitted directions that can be used again, and those of largest variance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from margin.short import Short

EXACT = 1500
"""Dimensions up to which the eigenvectors of the covariance cost less than a randomised search for them."""
ROWS = 2048
"""Rows multiplied at a time: the memory beside the points stays small."""


@dataclass(frozen=True)
class LinearAxes(Short):
    """An affine map to the plane: (x - mean) @ directions."""

    mean: NDArray[np.float64]
    """(d,) point that lands at the origin."""
    directions: NDArray[np.float64]
    """(d, 2), one column an axis."""

    def transform(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        """Coordinates (N, 2) of points X (N, d)."""
        return np.asarray((X - self.mean) @ self.directions)


def principal_axes(points: NDArray[np.float64], seed: int = 0) -> tuple[LinearAxes, NDArray[np.float64]]:
    """First two principal axes of points (N, d), and the shares (2,) of variance they explain.

    The largest entry of an axis is positive. Exact up to `EXACT` dimensions, by the covariance's
    eigenvectors; beyond them randomised with the seed.
    """
    if points.shape[1] > EXACT:
        from sklearn.decomposition import PCA  # takes longer to import than all of this to compute

        pca = PCA(n_components=2, random_state=seed).fit(points)
        return LinearAxes(pca.mean_, pca.components_.T), pca.explained_variance_ratio_
    mean = points.mean(axis=0)
    scatter = np.zeros((len(mean), len(mean)))
    for start in range(0, len(points), ROWS):
        block = points[start : start + ROWS] - mean
        scatter += block.T @ block
    sizes, vectors = np.linalg.eigh(scatter)
    axes = vectors[:, :-3:-1]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[None], axis=0)
    return LinearAxes(mean, axes * np.where(largest < 0, -1, 1)), sizes[:-3:-1].clip(0) / np.trace(scatter)
