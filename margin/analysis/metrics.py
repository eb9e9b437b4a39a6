"""The distances by name: how each is taken between points, and from inner products. A new one is an entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from margin.analysis.distances import DistanceMatrix, Distances, SquaredDistances
from margin.analysis.euclidean import EuclideanDistances
from margin.analysis.vectors import FloatArray, centre, centred, unit_rows
from margin.errors import MarginError

Distance = Literal["cosine", "euclidean", "sqeuclidean", "hellinger2"]


@dataclass(frozen=True)
class Metric:
    """One distance."""

    between_points: Callable[[FloatArray], Distances]
    """Distances between points by their coordinates (N, d)."""
    of_squares: Callable[[FloatArray], FloatArray]
    """The distances (N, N) from squared Euclidean ones, which are changed."""
    unit_lengths: bool = False
    """Whether points are first scaled to length 1."""


def _cosine(X: FloatArray) -> Distances:
    """Half the squared distance of unit rows; as in scikit-learn a zero row is 1 from every other point."""
    unit = unit_rows(X)
    zero: NDArray[np.float64] = np.asarray(~unit.any(axis=1), dtype=np.float64)
    return SquaredDistances(centre(unit), scale=0.5, own=zero if zero.any() else None)


METRICS: Mapping[Distance, Metric] = {
    "cosine": Metric(_cosine, lambda D: D / 2, unit_lengths=True),
    "euclidean": Metric(lambda X: EuclideanDistances(centred(X)), np.sqrt),
    "sqeuclidean": Metric(lambda X: SquaredDistances(centred(X)), lambda D: D),
    # Between square roots of probabilities.
    "hellinger2": Metric(lambda X: SquaredDistances(centred(X), scale=0.5), lambda D: D / 2),
}


def metric(name: Distance) -> Metric:
    """One distance by its name; MarginError for another."""
    if not isinstance(name, str) or name not in METRICS:
        *names, last = METRICS
        raise MarginError(f"unknown distance {name!r}: take {', '.join(names)} or {last}")
    return METRICS[name]


def distances_of_products(K: FloatArray, name: Distance) -> Distances:
    """Distances from inner products (N, N); those that are only the rounding of the products count as 0."""
    chosen = metric(name)
    if chosen.unit_lengths:
        norms = np.sqrt(np.diag(K))
        inverse = np.divide(1.0, norms, where=norms > 0, out=np.zeros_like(norms))
        K = K * inverse[:, None] * inverse
        np.fill_diagonal(K, 1)  # of a zero row too: it lies at right angles to every other point
    norms_of_pairs = np.add.outer(np.diag(K), np.diag(K))
    D = norms_of_pairs - 2 * K
    D[16 * np.finfo(K.dtype).eps * norms_of_pairs >= D] = 0
    return DistanceMatrix(chosen.of_squares(D))
