"""Covariance within modes where dimensions may outnumber rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf


def shrunken_covariance(residuals: NDArray[np.floating]) -> NDArray[np.floating]:
    """Covariance (d, d) of rows (N, d) that were centred by mode, shrunken and invertible.

    Ledoit and Wolf (2004), "A well-conditioned estimator for large-dimensional covariance matrices", which
    may leave next to nothing along an axis without variance, and leaves nothing where none vary: those get
    a thousand-millionth of the mean variance, or 1. O(N d^2).
    """
    d = residuals.shape[1]
    covariance: NDArray[np.floating] = ledoit_wolf(residuals, assume_centered=True)[0]
    variance = float(np.trace(covariance)) / d
    covariance[np.diag_indices(d)] += 1e-9 * variance if variance > 0 else 1.0
    return covariance
