"""The geometry of the logits without the logits, at the price of the hidden size.

Every vector l of V logits is l' + c 1 with c its mean over the vocabulary and l' orthogonal to 1. So one
description of l' serves three spaces, which differ only in what is put along 1: c for the logits, 0 for
vocabulary-centred logits, c - logsumexp(l) for log-probabilities.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from margin.errors import MarginError
from margin.short import Short

Float = NDArray[np.float64]
FloatArray = NDArray[np.float64] | NDArray[np.float32]
LogitSpace = Literal["logits", "centred", "logprobs"]

MANY = 2**27
"""Coordinates up to which points are kept in float64 (1 GB)."""
ROWS = 2048
"""Points made at a time: the memory beside them stays small."""


@dataclass(frozen=True, eq=False)
class LogitGeometry(Short):
    """Inner products of the logits of M rows, for an affine head also coordinates that reproduce them."""

    rows: NDArray[np.int64]
    """(M,) places of these rows in the run, ascending; all rows of the run where the head is affine."""
    means: Float
    """(M,) mean of each row's logits over the vocabulary."""
    logsumexp: Float
    """(M,) log of the sum of exponentials of each row's logits."""
    vocabulary: int
    """Number V of logits."""
    points: FloatArray | None
    """(M, d+2) points with the geometry of the logits, not to be changed: coordinates of the
    vocabulary-centred logits, then along the vector of ones; None where the head is not affine (soft-cap)."""
    products: Float | None
    """(M, M) inner products of the vocabulary-centred logits; None where there are coordinates."""

    def coordinates(self, space: LogitSpace = "logits") -> FloatArray | None:
        """(M, d+2) points with the Euclidean and cosine geometry of the V-wide vectors, or None."""
        if self.points is None or space == "logits":
            return self.points
        found = self.points.copy()
        found[:, -1] = np.sqrt(self.vocabulary) * self._along_ones(space)
        return found

    def gram(self, space: LogitSpace = "logits") -> Float:
        """(M, M) inner products of the V-wide vectors. Costs M^2 d from coordinates, else M^2."""
        if self.points is not None:
            products = np.asarray(self.points[:, :-1] @ self.points[:, :-1].T, dtype=np.float64)
        elif self.products is not None:
            products = self.products
        else:
            raise ValueError("neither coordinates nor products")
        along = self._along_ones(space)
        return products + self.vocabulary * np.outer(along, along)

    def _along_ones(self, space: LogitSpace) -> Float:
        match space:
            case "logits":
                return self.means
            case "centred":
                return np.zeros_like(self.means)
            case "logprobs":
                return self.means - self.logsumexp
        raise MarginError(f"unknown logit space {space!r}: take logits, centred or logprobs")


def from_factor(
    states: NDArray[np.float32],
    logsumexp: NDArray[np.float32],
    factor: NDArray[np.float32],
    column_sum: Float,
    vocabulary: int,
) -> LogitGeometry:
    """Geometry of an affine head from the final states.

    `states` (N, d); `factor` (d+1, d+1), F with F F^T the inner products of the columns of the head's [W b]
    once each column is centred over the vocabulary; `column_sum` (d+1,), the columns' sums. Costs N d^2 in
    float64; points of more than `MANY` coordinates are kept in float32, as the states are.
    """
    means, wide = np.empty(len(states)), factor.astype(np.float64)
    shape = len(states), len(factor) + 1
    points: FloatArray = np.empty(shape) if np.prod(shape) <= MANY else np.empty(shape, dtype=np.float32)
    for start in range(0, len(states), ROWS):
        rows = slice(start, start + ROWS)
        extended = np.column_stack([states[rows].astype(np.float64), np.ones(len(states[rows]))])
        means[rows] = extended @ column_sum / vocabulary
        points[rows, :-1] = extended @ wide
    points[:, -1] = np.sqrt(vocabulary) * means
    return LogitGeometry(
        rows=np.arange(len(states)),
        means=means,
        logsumexp=logsumexp.astype(np.float64),
        vocabulary=vocabulary,
        points=points,
        products=None,
    )
