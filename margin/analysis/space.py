"""The space a margin is measured in: points by coordinates, or by their inner products."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from margin.analysis.distances import Distances
from margin.analysis.metrics import Distance, distances_of_products, metric
from margin.analysis.vectors import FloatArray, as_floating, require_finite, squared_norms, without_rounding
from margin.errors import MarginError
from margin.short import Short
from margin.stats.design import Design


@runtime_checkable
class Space(Protocol):
    """N points that distances can be taken between."""

    @property
    def name(self) -> str:
        """What the points are, for example "logits"."""
        ...

    @property
    def n_points(self) -> int:
        """Number of points N."""
        ...

    def distances(self, distance: Distance) -> Distances:
        """Distances between the points."""
        ...

    def centred_by_prompt(self, design: Design) -> Space:
        """Each point minus the mean of its prompt over modes: what the prompts share is removed."""
        ...

    def subset(self, keep: NDArray[np.bool_] | NDArray[np.intp]) -> Space:
        """The points that `keep` picks: a mask (N,), or indices in the order wanted."""
        ...


@dataclass(frozen=True, eq=False)
class Coordinates(Short):
    """Points by coordinates."""

    X: FloatArray
    """(N, d), float32 or float64."""
    name: str = "points"
    """What the coordinates are, for example "logits" or "state"."""

    @property
    def n_points(self) -> int:
        """Number of points N."""
        return len(self.X)

    def distances(self, distance: Distance) -> Distances:
        """Distances between the points; "hellinger2" takes the rows as square roots of probabilities.

        As in scikit-learn, the cosine distance of a zero row from every other point is 1.
        """
        return metric(distance).between_points(self.X)

    def centred_by_prompt(self, design: Design) -> Coordinates:
        """Each point minus the mean of its prompt over modes."""
        X = as_floating(self.X)
        means = design.mean_by_prompt(X)
        norms = np.sqrt(squared_norms(means))
        require_finite(X, norms)
        differences = means[design.prompt]
        np.subtract(X, differences, out=differences)
        return Coordinates(
            without_rounding(differences, norms[design.prompt]), f"{self.name}, prompt-centred"
        )

    def subset(self, keep: NDArray[np.bool_] | NDArray[np.intp]) -> Coordinates:
        """The points that `keep` picks: a mask (N,), or indices in the order wanted."""
        return Coordinates(self.X[keep], self.name)


@dataclass(frozen=True, eq=False)
class Gram(Short):
    """Points by their inner products: N x N, whatever the width (a vocabulary, say)."""

    K: FloatArray
    """(N, N) inner products; about any origin where only differences count (all distances but cosine)."""
    name: str = "points"
    """What the points are, for example "probabilities"."""

    @property
    def n_points(self) -> int:
        """Number of points N."""
        return len(self.K)

    def distances(self, distance: Distance) -> Distances:
        """Distances between the points; those that are only the rounding of the inner products count as 0."""
        if not np.isfinite(self.K).all():
            raise MarginError("inner products are NaN or infinite: look at the points they were taken from")
        return distances_of_products(self.K, distance)

    def centred_by_prompt(self, design: Design) -> Gram:
        """Each point minus the mean of its prompt over modes, by row and column means of the products."""
        half = self.K - design.mean_by_prompt(self.K)[design.prompt]
        K = half - design.mean_by_prompt(half.T)[design.prompt].T
        noise = 16 * np.finfo(self.K.dtype).eps * np.diag(self.K)
        alive = np.diag(K) > noise
        return Gram(K * alive[:, None] * alive, f"{self.name}, prompt-centred")

    def subset(self, keep: NDArray[np.bool_] | NDArray[np.intp]) -> Gram:
        """The points that `keep` picks: a mask (N,), or indices in the order wanted."""
        return Gram(self.K[np.ix_(keep, keep)], self.name)
