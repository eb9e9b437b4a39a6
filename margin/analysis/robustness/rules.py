"""Two rules that give a point's distance from each mode, fitted on the modes' points of other prompts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.spatial.distance import cdist

from margin.analysis.vectors import FloatArray
from margin.inputs.condition import Rule
from margin.stats.covariance import covariance_within, means_of

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Fit(ABC):
    """A rule, fitted: a linear map, after which distances are Euclidean."""

    means: Float
    """(k, d) means of the modes that it was fitted on."""

    @property
    @abstractmethod
    def centres(self) -> Float:
        """(k, d) the modes after the map."""

    @abstractmethod
    def mapped(self, points: Float, own: Float) -> Float:
        """Points (m, d) after the map; own : (m, d) the mean of each one's own prompt over modes."""

    @abstractmethod
    def pulled_back(self, slopes: Float) -> Float:
        """Gradients (m, d) with respect to the points, from those with respect to the mapped ones."""

    def distances(self, points: Float, own: Float) -> Float:
        """Distances (m, k) of points (m, d) from the modes; own as in `mapped`."""
        found: Float = cdist(self.mapped(points, own), self.centres)
        return found


@dataclass(frozen=True, eq=False)
class Centroids(Fit):
    """Euclidean distances from the modes' centroids, each prompt's mean over modes taken away first.

    For points that share the user's text with points of known mode: what the text does to a point, which is
    most of it, is in its prompt's mean over modes and goes away with that.
    """

    @cached_property
    def centres(self) -> Float:
        """(k, d) centroids of the modes less what all share."""
        centres: Float = self.means - self.means.mean(axis=0)
        return centres

    def mapped(self, points: Float, own: Float) -> Float:
        """Points less the means of their prompts."""
        return points - own

    def pulled_back(self, slopes: Float) -> Float:
        """As they are."""
        return slopes


@dataclass(frozen=True, eq=False)
class Discriminant(Fit):
    """Mahalanobis distances from the modes' means.

    For points whose user text differs from that of any point of known mode. The nearest mode is that of
    linear discriminant analysis with equally likely modes and the shrunken covariance of Ledoit and Wolf
    (2004), "A well-conditioned estimator for large-dimensional covariance matrices".
    """

    factor: Float
    """(d, d) lower Cholesky factor of the covariance within modes."""

    @cached_property
    def centres(self) -> Float:
        """(k, d) means of the modes on axes along which they vary alike."""
        return self.mapped(self.means, self.means)

    def mapped(self, points: Float, own: Float) -> Float:
        """Points on these axes, about the middle of the modes; what their prompts are is of no use here."""
        about = points - self.means.mean(axis=0)
        found: Float = linalg.solve_triangular(self.factor, about.T, lower=True).T
        return found

    def pulled_back(self, slopes: Float) -> Float:
        """By the transposed map."""
        found: Float = linalg.solve_triangular(self.factor, slopes.T, lower=True, trans="T").T
        return found


def fit_centroids(X: FloatArray, places: NDArray[np.intp]) -> Centroids:
    """From the points of X (N, d) at `places` (n, k): n prompts under each of k modes. O(n k d)."""
    return Centroids(means_of(X, places))


def fit_discriminant(X: FloatArray, places: NDArray[np.intp]) -> Discriminant:
    """From the points of X (N, d) at `places` (n, k): n prompts under each of k modes. O(n k d^2 + d^3)."""
    means = means_of(X, places)
    return Discriminant(means, linalg.cholesky(covariance_within(X, places, means), lower=True))


FITS: Mapping[Rule, Callable[[FloatArray, NDArray[np.intp]], Fit]] = {
    "centroid": fit_centroids,
    "discriminant": fit_discriminant,
}
