"""Sums of distances without the distance matrix.

Silhouettes, their influence functions, bootstrap and permutation tests touch the N x N distance matrix D in
two ways only: products D @ M with a tall matrix M, and single entries d(i, j). Both have a form that never
holds D: for squared Euclidean distance, d(i, j) = q_i + q_j - 2 x_i.x_j with q_i = |x_i|^2, so D @ M costs
O(N d m) by linearity; cosine distance is half the squared distance of unit rows, Hellinger^2 half that of
square-root probabilities. Euclidean distance is not linear and is worked through in symmetric blocks.

Points are centred before anything else: hidden states share a large offset, and the cancellation it causes in
float32 would swamp the differences that matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from margin.analysis.vectors import FloatArray, blocks, squared_differences, squared_norms
from margin.short import Short

ROWS = 2048
"""Rows multiplied at a time: the memory beside the input stays small."""


RESOLUTION = 64.0
"""Machine epsilons taken as the rounding of a point's mean distances, beside that to all others."""


class Distances(Protocol):
    """Distances between N points, by products and by entries."""

    @property
    def n_points(self) -> int:
        """Number of points N."""
        ...

    @property
    def resolution(self) -> float:
        """Share of a point's mean distance to all others below which one to a few is rounding."""
        ...

    def matmul(self, M: FloatArray) -> NDArray[np.float64]:
        """D @ M for M (N, m), float64 (N, m)."""
        ...

    def between(self, i: NDArray[np.intp], j: NDArray[np.intp]) -> NDArray[np.float64]:
        """Entries d(i, j) for index arrays of one length, float64."""
        ...

    def within(self, points: NDArray[np.intp]) -> NDArray[np.float64]:
        """Distances (U, b, b) within each of U lots of points (U, b); a point's own is 0 up to rounding."""
        ...

    def subset(self, points: NDArray[np.intp]) -> Distances:
        """The distances between some of the points, in the order given."""
        ...


@dataclass(frozen=True, eq=False)
class SquaredDistances(Short):
    """scale * |x_i - x_j|^2. D @ M costs O(N d m) time and no N x N memory."""

    X: FloatArray
    """(N, d) centred points, float32 or float64."""
    scale: float = 1.0
    """1 for squared Euclidean; 1/2 for cosine (unit rows) and Hellinger^2 (square-root probabilities)."""
    own: NDArray[np.float64] | None = None
    """(N,) squared length of each point along an axis that no other point has a part in; None: all 0."""

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
        q = squared_norms(self.X)
        return q if self.own is None else q + self.own

    def matmul(self, M: FloatArray) -> NDArray[np.float64]:
        """D @ M for M (N, m), float64 (N, m)."""
        dtype = self.X.dtype
        sums = np.zeros((M.shape[1], self.X.shape[1]))
        weighted_q = np.zeros(M.shape[1])
        for rows in blocks(self.n_points, ROWS):
            sums += M[rows].T.astype(dtype, copy=False) @ self.X[rows]
            weighted_q += self._q[rows] @ M[rows]
        doubled = (-2 * sums.T).astype(dtype)
        column_sums = M.sum(axis=0, dtype=np.float64)
        out = np.empty((self.n_points, M.shape[1]))
        for rows in blocks(self.n_points, ROWS):
            block = np.multiply.outer(self._q[rows], column_sums, out=out[rows])
            block += weighted_q
            block += self.X[rows] @ doubled
            if self.own is not None:  # a point's distance from itself has nothing along that axis
                block -= 2 * self.own[rows, None] * M[rows]
            block *= self.scale
        return out

    def between(self, i: NDArray[np.intp], j: NDArray[np.intp]) -> NDArray[np.float64]:
        """Entries d(i, j), float64."""
        squared = squared_differences(self.X, i, j)
        if self.own is not None:
            squared += np.where(i == j, 0, self.own[i] + self.own[j])
        return self.scale * squared

    def within(self, points: NDArray[np.intp]) -> NDArray[np.float64]:
        """Distances (U, b, b) within each of U lots of points (U, b); a point's own is 0 up to rounding."""
        some = self.X[points]
        found = (some @ some.transpose(0, 2, 1)).astype(np.float64)
        found *= -2
        found += self._q[points][:, :, None]
        found += self._q[points][:, None, :]
        return self.scale * found

    def subset(self, points: NDArray[np.intp]) -> SquaredDistances:
        """The distances between some of the points, in the order given."""
        return SquaredDistances(self.X[points], self.scale, None if self.own is None else self.own[points])


@dataclass(frozen=True, eq=False)
class DistanceMatrix(Short):
    """Distances that are at hand as a matrix, as from a Gram matrix over few points."""

    D: FloatArray
    """(N, N) symmetric, zero diagonal."""

    @property
    def n_points(self) -> int:
        """Number of points N."""
        return len(self.D)

    @property
    def resolution(self) -> float:
        """Share of a point's mean distance to all others below which one to a few is rounding."""
        return RESOLUTION * float(np.finfo(self.D.dtype).eps)

    def matmul(self, M: FloatArray) -> NDArray[np.float64]:
        """D @ M for M (N, m), float64 (N, m)."""
        return np.asarray(self.D @ M.astype(self.D.dtype), dtype=np.float64)

    def between(self, i: NDArray[np.intp], j: NDArray[np.intp]) -> NDArray[np.float64]:
        """Entries d(i, j), float64."""
        return self.D[i, j].astype(np.float64)

    def within(self, points: NDArray[np.intp]) -> NDArray[np.float64]:
        """Distances (U, b, b) within each of U lots of points (U, b)."""
        return self.D[points[:, :, None], points[:, None, :]].astype(np.float64)

    def subset(self, points: NDArray[np.intp]) -> DistanceMatrix:
        """The distances between some of the points, in the order given."""
        return DistanceMatrix(self.D[np.ix_(points, points)])
