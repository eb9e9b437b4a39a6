"""Davies-Bouldin index of the modes, and whether modes permuted within prompts reach one as low."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from margin.analysis.distances import Distances
from margin.analysis.separation.centroids import centroids
from margin.analysis.separation.relabelling import relabellings
from margin.errors import MarginError
from margin.stats.design import Design
from margin.stats.estimate import Estimate


def davies_bouldin(distances: Distances, design: Design) -> Estimate:
    """Davies-Bouldin index: spread of a mode and its worst rival over the distance of their centroids.

    Parameters
    ----------
    distances : squared Euclidean, between N points; the modes may differ in size.

    Returns
    -------
    0 or more, lower is better; no unit. No interval: the sampling noise of the centroids adds to their
    distance, so the index comes out too low where modes are close, by more than its spread.

    Cost: O(N d k). Equal to scikit-learn's `davies_bouldin_score`. Davies and Bouldin (1979), "A cluster
    separation measure".

    Raises
    ------
    MarginError : two modes share their centroid (the index is infinite).
    """
    index = float(_indices(distances, design.mode[:, None], design.n_modes)[0])
    if not np.isfinite(index):
        raise MarginError("Davies-Bouldin undefined: two modes share their centroid")
    return Estimate(index, n_prompts=design.n_prompts)


def davies_bouldin_p_value(
    distances: Distances, design: Design, rng: np.random.Generator, permutations: int = 999
) -> float:
    """P-value of no difference between modes: how often modes permuted within prompts have as low an index.

    Returns
    -------
    (1 + #{index as low}) / (permutations + 1), never 0.

    Cost: O(N d k) a permutation.

    Raises
    ------
    MarginError : a prompt was not seen under every mode.
    """
    observed = _indices(distances, design.mode[:, None], design.n_modes)[0]
    # Relabellings that leave the modes as they are give the same index up to rounding, and reach it.
    reached = observed * (1 + distances.resolution)
    count = sum(
        int(np.sum(_indices(distances, labels, design.n_modes) <= reached))
        for labels in relabellings(design, rng, permutations)
    )
    return (1 + count) / (permutations + 1)


def _indices(distances: Distances, labels: NDArray[np.intp], n_modes: int) -> NDArray[np.float64]:
    """(B,) indices under the labels (N, B); infinite where two centroids are one up to rounding."""
    member = labels[:, :, None] == np.arange(n_modes)
    weights = member / member.sum(axis=0)
    found = centroids(distances, weights)
    to_own = np.take_along_axis(found.to_points, labels[:, :, None], axis=2)[:, :, 0]
    spread = np.einsum("ibc,ib->bc", weights, np.sqrt(to_own))
    apart = np.sqrt(found.between)
    similarity = np.full(apart.shape, np.inf)
    np.divide(spread[:, :, None] + spread[:, None, :], apart, out=similarity, where=apart > 0)
    similarity[:, np.arange(n_modes), np.arange(n_modes)] = 0
    indices: NDArray[np.float64] = similarity.max(axis=2).mean(axis=1)
    return indices
