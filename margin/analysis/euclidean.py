"""Euclidean distances between points, worked in symmetric blocks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from margin.analysis.distances import RESOLUTION
from margin.analysis.vectors import FloatArray, blocks, squared_differences, squared_norms
from margin.short import Short

EDGE = 512
"""Rows and columns of a block of pairwise distances: it stays in the processor's cache up to its square
root."""

KEPT = 2048
"""Points up to which blocks of pairwise distances are kept, since several measures ask for them (20 MB)."""

RECOMPUTED_SHARE = 1 / 64
"""Share of a block's entries up to which taking them one by one is cheaper than the block in float64."""


@dataclass(frozen=True, eq=False)
class EuclideanDistances(Short):
    """|x_i - x_j|. D @ M costs O(N^2 d) time; memory of a few blocks, up to `KEPT` points of all of them.

    A block is the square root of q_i + q_j - 2 x_i.x_j, which cancels where two points are near for their
    distance from the centre. A few such entries are taken from the difference of the points; where a float32
    block holds many, as within a tight mode, the block is worked again in float64.
    """

    X: FloatArray
    """(N, d) centred points, float32 or float64."""

    @property
    def n_points(self) -> int:
        """Number of points N."""
        return len(self.X)

    @property
    def resolution(self) -> float:
        """Share of a point's mean distance to all others below which one to a few is rounding."""
        return RESOLUTION * float(np.finfo(self.X.dtype).eps)

    @cached_property
    def _q(self) -> NDArray[np.float64]:
        return squared_norms(self.X)

    def matmul(self, M: FloatArray) -> NDArray[np.float64]:
        """D @ M for M (N, m), float64 (N, m). Each symmetric pair of blocks is computed once."""
        out = np.zeros((self.n_points, M.shape[1]))
        parts = list(blocks(self.n_points, EDGE))
        for r, rows in enumerate(parts):
            for cols in parts[r:]:
                D = self._block(rows, cols)
                out[rows] += D @ M[cols].astype(D.dtype, copy=False)
                if rows != cols:
                    out[cols] += D.T @ M[rows].astype(D.dtype, copy=False)
        return out

    def between(self, i: NDArray[np.intp], j: NDArray[np.intp]) -> NDArray[np.float64]:
        """Entries d(i, j), float64."""
        return np.sqrt(squared_differences(self.X, i, j))

    def within(self, points: NDArray[np.intp]) -> NDArray[np.float64]:
        """Distances (U, b, b) within each of U lots of points (U, b); a point's own is 0 up to rounding."""
        unit = np.eye(points.shape[1])
        return np.stack([self.subset(some).matmul(unit) for some in points])

    def subset(self, points: NDArray[np.intp]) -> EuclideanDistances:
        """The distances between some of the points, in the order given."""
        return EuclideanDistances(self.X[points])

    @cached_property
    def _kept(self) -> dict[tuple[int, int], FloatArray]:
        return {}

    def _block(self, rows: slice, cols: slice) -> FloatArray:
        place = rows.start, cols.start
        if place in self._kept:
            return self._kept[place]
        D = self._worked(rows, cols)
        if self.n_points <= KEPT:
            self._kept[place] = D
        return D

    def _worked(self, rows: slice, cols: slice) -> FloatArray:
        D, cancelled = self._squared_block(rows, cols, self.X.dtype)
        if len(cancelled) > RECOMPUTED_SHARE * D.size and D.dtype == np.float32:
            D, cancelled = self._squared_block(rows, cols, np.dtype(np.float64))
        i, j = np.divmod(cancelled, D.shape[1])
        D[i, j] = squared_differences(self.X, i + rows.start, j + cols.start)
        return np.sqrt(D, out=D)

    def _squared_block(
        self, rows: slice, cols: slice, dtype: np.dtype
    ) -> tuple[FloatArray, NDArray[np.intp]]:
        """Squared distances, and the flat places of those that lost half of their digits."""
        X, Y = (self.X[part].astype(dtype, copy=False) for part in (rows, cols))
        q = self._q.astype(dtype)
        D = X @ Y.T
        D *= -2
        D += q[rows, None]
        D += q[cols]
        near = 100 * np.sqrt(np.finfo(dtype).eps) * q[rows, None]
        return D, np.flatnonzero(near > D)
