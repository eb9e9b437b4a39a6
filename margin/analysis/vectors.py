"""Rows of a matrix taken as points: lengths, centring, and what of a difference is only rounding."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from margin.errors import MarginError

FloatArray = NDArray[np.floating]

STRIP = 256
"""Rows worked on at a time where several passes go over them: they stay in the processor's cache."""


def squared_norms(X: FloatArray) -> NDArray[np.float64]:
    """|x_i|^2 of each row, float64 (N,)."""
    out = np.empty(len(X))
    for rows in blocks(len(X), STRIP):
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


STEPS = 64
"""Steps of float32 that points must lie apart, typically, to be told from its rounding."""


def require_resolved(X: FloatArray) -> None:
    """MarginError where points lie little farther apart than what their numbers are rounded to.

    So lie float32 points with a large offset that all share: rows would count as one or as two by chance.
    """
    if len(X) == 0 or X.dtype == np.float64:
        return
    some = _some(X)
    apart = np.sqrt(squared_norms(some - np.median(some, axis=0)))
    step = float(np.finfo(X.dtype).eps * np.median(np.sqrt(squared_norms(some))))
    if 0 < np.median(apart) < STEPS * step:
        raise MarginError(
            f"the points lie {np.median(apart) / step:.0f} steps of {X.dtype} apart, in what all share: hand "
            "them over in float64 from where they were made, or less their mean"
        )


def _some(X: FloatArray) -> NDArray[np.float64]:
    """At most `LOOKED_AT` of the points, evenly spread."""
    places = np.unique(np.linspace(0, max(len(X) - 1, 0), LOOKED_AT, dtype=np.intp))
    return X[places].astype(np.float64)


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
    some = _some(X)
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
    for rows in blocks(len(X), STRIP):
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


SHORT = 1e-140
"""Length below which the squares of a row lose digits, or vanish."""


def unit_rows(X: FloatArray) -> FloatArray:
    """A copy with rows of length 1. A zero row, which has no direction, stays.

    MarginError for a row so short that its squares vanish, which would be taken for a zero one.
    """
    X = as_floating(X)
    out, norms = np.empty_like(X), np.empty(len(X))
    for rows in blocks(len(X), STRIP):
        norms[rows] = lengths = np.sqrt(squared_norms(X[rows]))
        if (lengths < SHORT).any() and (lost := (lengths < SHORT) & X[rows].any(axis=1)).any():
            raise MarginError(
                f"row {rows.start + int(np.argmax(lost))} of the points holds numbers so small that their "
                "squares are none: scale it, or leave it out"
            )
        inverse = np.divide(1.0, lengths, where=lengths > 0, out=np.zeros_like(lengths))
        with np.errstate(invalid="ignore"):  # rows that are not finite are refused below
            np.multiply(X[rows], inverse.astype(X.dtype)[:, None], out=out[rows])
    require_finite(X, norms)
    return out


def squared_differences(X: FloatArray, i: NDArray[np.intp], j: NDArray[np.intp]) -> NDArray[np.float64]:
    """|x_i - x_j|^2 for index arrays of one length, float64; no digits are lost to cancellation."""
    out = np.empty(len(i))
    for rows in blocks(len(i), STRIP):
        difference = X[i[rows]].astype(np.float64) - X[j[rows]]
        out[rows] = np.einsum("ij,ij->i", difference, difference)
    return out


def blocks(n: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` that cover 0 to n-1."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))
