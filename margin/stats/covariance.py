"""Means of modes, and the covariance within them where dimensions may outnumber rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

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


def means_of(X: NDArray[np.floating], places: NDArray[np.intp]) -> NDArray[np.float64]:
    """Mean (k, d) of the points of X (N, d) at each column of `places` (n, k), in float64."""
    total = np.zeros((places.shape[1], X.shape[1]))
    for points in _blocks(X, places):
        total += points.sum(axis=0, dtype=np.float64)
    return total / len(places)


def covariance_within(
    X: NDArray[np.floating], places: NDArray[np.intp], means: NDArray[np.float64]
) -> NDArray[np.float64]:
    """As `shrunken_covariance`, of the points of X (N, d) at `places` (n, k) less the means (k, d) of their
    modes, which are taken off as they are read."""
    return _shrunken((points - means).reshape(-1, X.shape[1]) for points in _blocks(X, places))


def _blocks(X: NDArray[np.floating], places: NDArray[np.intp]) -> Iterator[NDArray[np.floating]]:
    """The points (some, k, d) at `places`, some prompts at a time."""
    prompts = max(1, ROWS // places.shape[1])
    for start in range(0, len(places), prompts):
        yield X[places[start : start + prompts]]


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
