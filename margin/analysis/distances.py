"""Sums of distances without the distance matrix.

Silhouettes, their influence functions, bootstrap and permutation tests touch the N x N distance matrix D in two
ways only: products D @ M with a tall matrix M, and single entries d(i, j). Both have a form that never holds D:
for squared Euclidean distance, d(i, j) = q_i + q_j - 2 x_i.x_j with q_i = |x_i|^2, so D @ M costs O(N d m) by
linearity; cosine distance is half the squared distance of unit rows, Hellinger^2 half that of square-root
probabilities. Euclidean distance is not linear and is worked through in symmetric blocks.

Points are centred before anything else: hidden states share a large offset, and the cancellation it causes in
float32 would swamp the differences that matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Distance = Literal["cosine", "euclidean", "sqeuclidean", "hellinger2"]
FloatArray = NDArray[np.floating]

ROWS = 4096
"""Rows worked on at a time: a block stays in cache, and the memory beside the input stays small."""

RESOLUTION = 64.0
"""Machine epsilons taken as the rounding of a mean distance, relative to the largest one."""


class Distances(Protocol):
    """Distances between N points, by products and by entries."""

    @property
    def n_points(self) -> int:
        """Number of points N."""
        ...

    @property
    def resolution(self) -> float:
        """Share of the largest mean distance below which a mean distance is rounding, not distance."""
        ...

    def matmul(self, M: FloatArray) -> NDArray[np.float64]:
        """D @ M for M (N, m), float64 (N, m)."""
        ...

    def between(self, i: NDArray[np.intp], j: NDArray[np.intp]) -> NDArray[np.float64]:
        """Entries d(i, j) for index arrays of one length, float64."""
        ...


@dataclass(frozen=True, eq=False)
class SquaredDistances:
    """scale * |x_i - x_j|^2. D @ M costs O(N d m) time and no N x N memory."""

    X: FloatArray
    """(N, d) centred points, float32 or float64."""
    scale: float = 1.0
    """1 for squared Euclidean; 1/2 for cosine (on unit rows) and Hellinger^2 (on square-root probabilities)."""

    @property
    def n_points(self) -> int:
        """Number of points N."""
        return len(self.X)

    @property
    def resolution(self) -> float:
        """Share of the largest mean distance below which a mean distance is rounding."""
        return RESOLUTION * float(np.finfo(self.X.dtype).eps)

    def matmul(self, M: FloatArray) -> NDArray[np.float64]:
        """D @ M for M (N, m), float64 (N, m)."""
        q = squared_norms(self.X)
        M_x = np.ascontiguousarray(M, dtype=self.X.dtype)
        sums = np.zeros((self.X.shape[1], M.shape[1]))
        for rows in _blocks(self.n_points):
            sums += self.X[rows].T @ M_x[rows]
        column_sums = M.sum(axis=0, dtype=np.float64)
        weighted_q = q @ M
        out = np.empty((self.n_points, M.shape[1]))
        sums_x = sums.astype(self.X.dtype)
        for rows in _blocks(self.n_points):
            out[rows] = self.X[rows] @ sums_x
            out[rows] *= -2.0
            out[rows] += q[rows, None] * column_sums
        out += weighted_q
        out *= self.scale
        return out

    def between(self, i: NDArray[np.intp], j: NDArray[np.intp]) -> NDArray[np.float64]:
        """Entries d(i, j), float64."""
        return self.scale * _squared_differences(self.X, i, j)


@dataclass(frozen=True, eq=False)
class EuclideanDistances:
    """|x_i - x_j|. D @ M costs O(N^2 d) time; memory of a few blocks."""

    X: FloatArray
    """(N, d) centred points, float32 or float64."""

    @property
    def n_points(self) -> int:
        """Number of points N."""
        return len(self.X)

    @property
    def resolution(self) -> float:
        """Share of the largest mean distance below which a mean distance is rounding."""
        return RESOLUTION * float(np.finfo(self.X.dtype).eps)

    def matmul(self, M: FloatArray) -> NDArray[np.float64]:
        """D @ M for M (N, m), float64 (N, m). Each symmetric pair of blocks is computed once."""
        q = squared_norms(self.X)
        M_x = np.ascontiguousarray(M, dtype=self.X.dtype)
        out = np.zeros((self.n_points, M.shape[1]))
        blocks = list(_blocks(self.n_points, ROWS // 2))
        for r, rows in enumerate(blocks):
            for cols in blocks[r:]:
                D = self._block(rows, cols, q)
                out[rows] += D @ M_x[cols]
                if rows != cols:
                    out[cols] += D.T @ M_x[rows]
        return out

    def between(self, i: NDArray[np.intp], j: NDArray[np.intp]) -> NDArray[np.float64]:
        """Entries d(i, j), float64."""
        return np.sqrt(_squared_differences(self.X, i, j))

    def _block(self, rows: slice, cols: slice, q: NDArray[np.float64]) -> FloatArray:
        dtype = self.X.dtype
        D = self.X[rows] @ self.X[cols].T
        D *= -2
        D += q[rows, None].astype(dtype)
        D += q[cols].astype(dtype)
        # Where two points nearly coincide the sum above cancels; those few entries are taken from the difference.
        cancels = np.argwhere(D < 100 * np.sqrt(np.finfo(dtype).eps) * q[rows, None].astype(dtype))
        if len(cancels):
            i, j = cancels.T
            D[i, j] = _squared_differences(self.X, i + rows.start, j + cols.start)
        return np.sqrt(D, out=D)


@dataclass(frozen=True, eq=False)
class DistanceMatrix:
    """Distances that are at hand as a matrix, as from a Gram matrix over few points."""

    D: FloatArray
    """(N, N) symmetric, zero diagonal."""

    @property
    def n_points(self) -> int:
        """Number of points N."""
        return len(self.D)

    @property
    def resolution(self) -> float:
        """Share of the largest mean distance below which a mean distance is rounding."""
        return RESOLUTION * float(np.finfo(self.D.dtype).eps)

    def matmul(self, M: FloatArray) -> NDArray[np.float64]:
        """D @ M for M (N, m), float64 (N, m)."""
        return np.asarray(self.D @ M.astype(self.D.dtype), dtype=np.float64)

    def between(self, i: NDArray[np.intp], j: NDArray[np.intp]) -> NDArray[np.float64]:
        """Entries d(i, j), float64."""
        return self.D[i, j].astype(np.float64)


def squared_norms(X: FloatArray) -> NDArray[np.float64]:
    """|x_i|^2 of each row, float64 (N,)."""
    out = np.empty(len(X))
    for rows in _blocks(len(X)):
        block = X[rows].astype(np.float64, copy=False)
        out[rows] = np.einsum("ij,ij->i", block, block)
    return out


def as_floating(X: FloatArray) -> FloatArray:
    """X itself where it is float32 or float64, else as float32."""
    return X if X.dtype in (np.float32, np.float64) else X.astype(np.float32)


def centred(X: FloatArray) -> FloatArray:
    """X minus its mean row; the mean is taken in float64, the result has X's dtype."""
    X = as_floating(X)
    mean = X.mean(axis=0, dtype=np.float64)
    out = X - mean.astype(X.dtype)
    return without_rounding(out, float(np.linalg.norm(mean)))


def without_rounding(differences: FloatArray, minuend: float | NDArray[np.float64]) -> FloatArray:
    """Differences (N, d) with the rows set to zero that hold only the rounding of a minuend of that norm.

    What a subtraction leaves of points that coincide has a direction, but it means nothing.
    """
    noise = 16 * np.finfo(differences.dtype).eps * minuend
    differences[np.sqrt(squared_norms(differences)) <= noise] = 0
    return differences


def unit_rows(X: FloatArray) -> FloatArray:
    """Rows scaled to length 1. A zero row stays zero: it stands 1/2 from every direction and 0 from other zeros."""
    X = as_floating(X)
    norms = np.sqrt(squared_norms(X))
    return X * np.divide(1.0, norms, where=norms > 0, out=np.zeros_like(norms)).astype(X.dtype)[:, None]


def _squared_differences(X: FloatArray, i: NDArray[np.intp], j: NDArray[np.intp]) -> NDArray[np.float64]:
    out = np.empty(len(i))
    for rows in _blocks(len(i)):
        difference = X[i[rows]].astype(np.float64) - X[j[rows]]
        out[rows] = np.einsum("ij,ij->i", difference, difference)
    return out


def _blocks(n: int, size: int = ROWS) -> Iterator[slice]:
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))
