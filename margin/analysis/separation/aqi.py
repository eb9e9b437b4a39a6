"""The composite of the Alignment Quality Index, to set a run beside work that reports it. Not a headline.

Its parts mislead on their own: Calinski-Harabasz grows with the number of points, Xie-Beni divides by the
closest pair of centroids whatever the others do. No intervals, and for comparison only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from margin.analysis.distances import Distances
from margin.analysis.separation.centroids import mode_centroids
from margin.errors import MarginError
from margin.stats.design import Design
from margin.stats.estimate import Estimate


@dataclass(frozen=True)
class AlignmentQuality:
    """Cluster indices of the modes, in the space as it is (no projection)."""

    xie_beni: Estimate
    """Mean squared distance to the own centroid over the least between two centroids; lower is better."""
    calinski_harabasz: Estimate
    """Mean square between modes over mean square within; higher is better, and higher with more points."""
    composite: Estimate
    """(1 / (1 + xie_beni) + h / (1 + h)) / 2 with h Calinski-Harabasz, in [0, 1]."""


def alignment_quality(distances: Distances, design: Design) -> AlignmentQuality:
    """Xie-Beni, Calinski-Harabasz and their composite, of the Alignment Quality Index (arXiv 2506.13901).

    The index scales its parts over the set of models or topics compared, which one run does not have. Here
    each is squashed to [0, 1] by itself and both weigh the same, so composites compare between runs of this
    package, and only in tendency with others.

    Parameters
    ----------
    distances : squared Euclidean, between N points; the modes may differ in size.

    Cost: O(N d k). Xie and Beni (1991), "A validity measure for fuzzy clustering"; Calinski and Harabasz
    (1974), "A dendrite method for cluster analysis", equal to scikit-learn's `calinski_harabasz_score`.

    Raises
    ------
    MarginError : two modes share their centroid, or no mode varies.
    """
    N, k = design.n_points, design.n_modes
    found = mode_centroids(distances, design)
    within = float(found.to_points[np.arange(N), design.mode].sum())
    nearest = float(found.between[~np.eye(k, dtype=bool)].min())
    if nearest == 0:
        raise MarginError("Xie-Beni undefined: two modes share their centroid")
    sizes = design.onehot.sum(axis=0)
    between = float(sizes @ found.between @ sizes / (2 * N))
    if within <= distances.resolution * between:
        raise MarginError("Calinski-Harabasz undefined: no mode varies")
    xie_beni = within / (N * nearest)
    calinski_harabasz = between / (k - 1) / (within / (N - k))
    composite = (1 / (1 + xie_beni) + calinski_harabasz / (1 + calinski_harabasz)) / 2
    n = design.n_prompts
    return AlignmentQuality(
        xie_beni=Estimate(xie_beni, n_prompts=n),
        calinski_harabasz=Estimate(calinski_harabasz, n_prompts=n),
        composite=Estimate(composite, n_prompts=n),
    )
