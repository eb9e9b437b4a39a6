"""Two rules that give a point's distance from each mode, fitted on the modes' points of other prompts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.spatial.distance import cdist

from margin.stats.covariance import covariance_within

Float = NDArray[np.float64]


def centroid_distances(training: Float, points: Float, own: Float) -> Float:
    """Euclidean distances (m, k) of points from the modes' centroids, each prompt's mean taken away first.

    For points that share the user's text with points of known mode: what the text does to a point, which is
    most of it, is in its prompt's mean over modes and goes away with that.

    Parameters
    ----------
    training : (n, k, d) points of n other prompts under each of k modes.
    points : (m, d) points to place.
    own : (m, k, d) the points of each one's own prompt under the modes, of which only the mean is used.
    """
    centroids = (training - training.mean(axis=1, keepdims=True)).mean(axis=0)
    found: Float = cdist(points - own.mean(axis=1), centroids)
    return found


def discriminant_distances(training: Float, points: Float) -> Float:
    """Mahalanobis distances (m, k) of points from the modes' means.

    For points whose user text differs from that of any point of known mode. The nearest mode is that of
    linear discriminant analysis with equally likely modes and the shrunken covariance of Ledoit and Wolf
    (2004), "A well-conditioned estimator for large-dimensional covariance matrices".

    Parameters
    ----------
    training : (n, k, d) points of n prompts under each of k modes.
    points : (m, d) points to place.

    Cost: O(n k d^2 + d^3).
    """
    means = training.mean(axis=0)
    covariance = covariance_within(training, means)
    factor = linalg.cholesky(covariance, lower=True)
    whitened = (
        linalg.solve_triangular(factor, (X - means.mean(axis=0)).T, lower=True).T for X in (points, means)
    )
    found: Float = cdist(*whitened)
    return found
