"""Covariance within modes where dimensions may outnumber rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def shrunken_covariance(residuals: NDArray[np.floating]) -> NDArray[np.floating]:
    """Covariance (d, d) of rows (N, d) that were centred by mode, shrunken and invertible.

    Ledoit and Wolf (2004), "A well-conditioned estimator for large-dimensional covariance matrices", lemma
    3.2 and section 3.2: toward the mean variance, by the share of the distance to it that is noise. That may
    leave next to nothing along an axis without variance, and leaves nothing where none vary: those get a
    thousand-millionth of the mean variance, or 1. O(N d^2).
    """
    n, d = residuals.shape
    covariance: NDArray[np.floating] = residuals.T @ residuals / n
    variance = float(np.trace(covariance)) / d
    squared = float((covariance**2).sum())
    distance = squared - d * variance**2
    noise = (float(((residuals**2).sum(axis=1) ** 2).sum()) / n - squared) / n
    shrinkage = min(noise / distance, 1.0) if noise > 0 and distance > 0 else 0.0
    covariance *= 1 - shrinkage
    covariance[np.diag_indices(d)] += shrinkage * variance + (1e-9 * variance if variance > 0 else 1.0)
    return covariance
