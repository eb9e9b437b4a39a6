"""Two fitted directions that can be used again, and those of largest variance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from margin.short import Short

EXACT = 1500
"""Dimensions up to which the eigenvectors of the covariance cost less than a randomised search for them."""


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

    Exact up to `EXACT` dimensions, by the covariance's eigenvectors; beyond them randomised with the seed.
    """
    from sklearn.decomposition import PCA  # slow to import, and most figures are no projection

    solver = "covariance_eigh" if points.shape[1] <= EXACT else "auto"
    pca = PCA(n_components=2, svd_solver=solver, random_state=seed).fit(points)
    return LinearAxes(pca.mean_, pca.components_.T), pca.explained_variance_ratio_
