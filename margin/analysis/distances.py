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

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from margin.errors import MarginError

Distance = Literal["cosine", "euclidean", "sqeuclidean", "hellinger2"]
FloatArray = NDArray[np.floating]

ROWS = 2048
"""Rows multiplied at a time: the memory beside the input stays small."""

STRIP = 256
"""Rows worked on at a time where several passes go over them: they stay in the processor's cache."""

EDGE = 512
"""Rows and columns of a block of pairwise distances: it stays in the processor's cache up to its square
root."""

FEW = 1 / 64
"""Share of a block's entries up to which taking them one by one is cheaper than the block in float64."""

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

    def subset(self, points: NDArray[np.intp]) -> Distances:
        """The distances between some of the points, in the order given."""
        ...


@dataclass(frozen=True, eq=False)
class SquaredDistances:
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
        for rows in _blocks(self.n_points, ROWS):
            sums += M[rows].T.astype(dtype, copy=False) @ self.X[rows]
            weighted_q += self._q[rows] @ M[rows]
        doubled = (-2 * sums.T).astype(dtype)
        column_sums = M.sum(axis=0, dtype=np.float64)
        out = np.empty((self.n_points, M.shape[1]))
        for rows in _blocks(self.n_points, ROWS):
            block = np.multiply.outer(self._q[rows], column_sums, out=out[rows])
            block += weighted_q
            block += self.X[rows] @ doubled
            if self.own is not None:  # a point's distance from itself has nothing along that axis
                block -= 2 * self.own[rows, None] * M[rows]
            block *= self.scale
        return out

    def between(self, i: NDArray[np.intp], j: NDArray[np.intp]) -> NDArray[np.float64]:
        """Entries d(i, j), float64."""
        squared = _squared_differences(self.X, i, j)
        if self.own is not None:
            squared += np.where(i == j, 0, self.own[i] + self.own[j])
        return self.scale * squared

    def subset(self, points: NDArray[np.intp]) -> SquaredDistances:
        """The distances between some of the points, in the order given."""
        return SquaredDistances(self.X[points], self.scale, None if self.own is None else self.own[points])


@dataclass(frozen=True, eq=False)
class EuclideanDistances:
    """|x_i - x_j|. D @ M costs O(N^2 d) time; memory of a few blocks.

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
        blocks = list(_blocks(self.n_points, EDGE))
        for r, rows in enumerate(blocks):
            for cols in blocks[r:]:
                D = self._block(rows, cols)
                out[rows] += D @ M[cols].astype(D.dtype, copy=False)
                if rows != cols:
                    out[cols] += D.T @ M[rows].astype(D.dtype, copy=False)
        return out

    def between(self, i: NDArray[np.intp], j: NDArray[np.intp]) -> NDArray[np.float64]:
        """Entries d(i, j), float64."""
        return np.sqrt(_squared_differences(self.X, i, j))

    def subset(self, points: NDArray[np.intp]) -> EuclideanDistances:
        """The distances between some of the points, in the order given."""
        return EuclideanDistances(self.X[points])

    def _block(self, rows: slice, cols: slice) -> FloatArray:
        D, cancelled = self._squared_block(rows, cols, self.X.dtype)
        if len(cancelled) > FEW * D.size and D.dtype == np.float32:
            D, cancelled = self._squared_block(rows, cols, np.dtype(np.float64))
        i, j = np.divmod(cancelled, D.shape[1])
        D[i, j] = _squared_differences(self.X, i + rows.start, j + cols.start)
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
        """Share of a point's mean distance to all others below which one to a few is rounding."""
        return RESOLUTION * float(np.finfo(self.D.dtype).eps)

    def matmul(self, M: FloatArray) -> NDArray[np.float64]:
        """D @ M for M (N, m), float64 (N, m)."""
        return np.asarray(self.D @ M.astype(self.D.dtype), dtype=np.float64)

    def between(self, i: NDArray[np.intp], j: NDArray[np.intp]) -> NDArray[np.float64]:
        """Entries d(i, j), float64."""
        return self.D[i, j].astype(np.float64)

    def subset(self, points: NDArray[np.intp]) -> DistanceMatrix:
        """The distances between some of the points, in the order given."""
        return DistanceMatrix(self.D[np.ix_(points, points)])


def squared_norms(X: FloatArray) -> NDArray[np.float64]:
    """|x_i|^2 of each row, float64 (N,)."""
    out = np.empty(len(X))
    for rows in _blocks(len(X), STRIP):
        block = X[rows].astype(np.float64, copy=False)
        out[rows] = np.einsum("ij,ij->i", block, block)
    return out


def as_floating(X: FloatArray) -> FloatArray:
    """X itself where it is float32 or float64, float16 as float32, all else as float64."""
    if X.dtype in (np.float32, np.float64):
        return X
    return X.astype(np.float32 if X.dtype == np.float16 else np.float64)


def require_finite(X: FloatArray, summary: NDArray[np.float64]) -> None:
    """Raise MarginError naming the rows if X is not finite, by a summary that NaN and infinity carry over to.

    Such points would turn silhouettes into a silent 0.
    """
    if not np.isfinite(summary).all():
        bad = np.flatnonzero(~np.isfinite(X).all(axis=1))
        raise MarginError(f"{len(bad)} of {len(X)} points are NaN or infinite, the first at row {bad[0]}")


LOOKED_AT = 1000
"""Points of which the usual distance from their middle is taken."""
FAR = {np.float32: 300.0, np.float64: 1e7}
"""How far out a point may lie, in distances that are usual: there silhouettes are right to some .005 in
float32, to 1e-5 in float64."""


def centred(X: FloatArray) -> FloatArray:
    """A copy of X less its mean row, in float64 where float32 would lose the distances to points far out.

    Squared distances are taken from inner products, whose rounding grows with the square of how far out the
    farthest point lies. What is usual is told by medians, which no single point moves.

    Raises
    ------
    MarginError : a point so far out that float64 would lose them too.
    """
    X = as_floating(X)
    found = centre(X.copy())
    some = X[np.unique(np.linspace(0, max(len(X) - 1, 0), LOOKED_AT, dtype=np.intp))].astype(np.float64)
    typical = np.median(np.sqrt(squared_norms(some - np.median(some, axis=0)))) if len(X) else 0.0
    farthest = np.sqrt(squared_norms(found).max(initial=0.0))
    if not typical or farthest <= FAR[np.float32] * typical:
        return found
    if farthest > FAR[np.float64] * typical:
        raise MarginError(
            f"a point lies {farthest / typical:.0e} times as far out as others do, which no precision holds: "
            "leave it out, or take the cosine distance"
        )
    return found if X.dtype == np.float64 else centre(X.astype(np.float64))


def centre(X: FloatArray) -> FloatArray:
    """X less its mean row, in place; the mean is taken in float64."""
    mean = X.mean(axis=0, dtype=np.float64)
    require_finite(X, mean)
    rounded, length = mean.astype(X.dtype), float(np.linalg.norm(mean))
    for rows in _blocks(len(X), STRIP):
        strip = X[rows]
        strip -= rounded
        without_rounding(strip, length)
    return X


def without_rounding(differences: FloatArray, minuend: float | NDArray[np.float64]) -> FloatArray:
    """Differences (N, d), in place, rows that hold only the rounding of a minuend of that norm set to zero.

    What a subtraction leaves of points that coincide has a direction, but it means nothing.
    """
    noise = 16 * np.finfo(differences.dtype).eps * minuend
    differences[np.sqrt(squared_norms(differences)) <= noise] = 0
    return differences


def unit_rows(X: FloatArray) -> FloatArray:
    """A copy with rows of length 1. A zero row, which has no direction, stays."""
    X = as_floating(X)
    out, norms = np.empty_like(X), np.empty(len(X))
    for rows in _blocks(len(X), STRIP):
        norms[rows] = lengths = np.sqrt(squared_norms(X[rows]))
        inverse = np.divide(1.0, lengths, where=lengths > 0, out=np.zeros_like(lengths))
        np.multiply(X[rows], inverse.astype(X.dtype)[:, None], out=out[rows])
    require_finite(X, norms)
    return out


def _squared_differences(X: FloatArray, i: NDArray[np.intp], j: NDArray[np.intp]) -> NDArray[np.float64]:
    out = np.empty(len(i))
    for rows in _blocks(len(i), STRIP):
        difference = X[i[rows]].astype(np.float64) - X[j[rows]]
        out[rows] = np.einsum("ij,ij->i", difference, difference)
    return out


def _blocks(n: int, size: int) -> Iterator[slice]:
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))
