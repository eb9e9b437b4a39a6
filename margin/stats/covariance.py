"""Covariance within modes where dimensions may outnumber rows."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

ROWS = 2048
"""Rows multiplied at a time: the memory beside the input stays small."""


def shrunken_covariance(residuals: NDArray[np.floating]) -> NDArray[np.float64]:
    """Covariance (d, d) of rows (N, d) that were centred by mode, shrunken and invertible.

    Ledoit and Wolf (2004), "A well-conditioned estimator for large-dimensional covariance matrices", lemma
    3.2 and section 3.2: toward the mean variance, by the share of the distance to it that is noise. That may
    leave next to nothing along an axis without variance, and leaves nothing where none vary: those get a
    thousand-millionth of the mean variance, or 1. O(N d^2), in float64.
    """
    return _shrunken(residuals[start : start + ROWS] for start in range(0, len(residuals), ROWS))


def covariance_within(points: NDArray[np.floating], means: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same of points (n, k, d), less the mean (k, d) of their mode, taken off as they are read."""
    prompts = max(1, ROWS // len(means))
    return _shrunken(
        (points[start : start + prompts] - means).reshape(-1, means.shape[1])
        for start in range(0, len(points), prompts)
    )


def _shrunken(blocks: Iterable[NDArray[np.floating]]) -> NDArray[np.float64]:
    """Of the blocks of rows of residuals."""
    n, fourth, total = 0, 0.0, np.zeros((1, 1))
    for block in blocks:
        rows: NDArray[np.float64] = block.astype(np.float64, copy=False)
        n += len(rows)
        total = total + rows.T @ rows
        fourth += float((np.einsum("ij,ij->i", rows, rows) ** 2).sum())
    covariance: NDArray[np.float64] = total / n
    d = len(covariance)
    variance = float(np.trace(covariance)) / d
    squared = float((covariance**2).sum())
    distance = squared - d * variance**2
    noise = (fourth / n - squared) / n
    shrinkage = min(noise / distance, 1.0) if noise > 0 and distance > 0 else 0.0
    covariance *= 1 - shrinkage
    covariance[np.diag_indices(d)] += shrinkage * variance + (1e-9 * variance if variance > 0 else 1.0)
    return covariance
