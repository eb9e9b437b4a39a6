"""Do the modes leave the prompts in the same arrangement?"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from margin.analysis.distances import Distances
from margin.analysis.separation.paired import points_by_prompt
from margin.errors import MarginError
from margin.stats.design import Design
from margin.stats.estimate import Estimate


def debiased_cka(distances: Distances, design: Design) -> Estimate:
    """Linear centred kernel alignment of the prompts under two modes; the mean over pairs of modes.

    A similarity, not a separation: 1 where one mode's points are the other's rotated, moved or scaled, about
    0 where the arrangement of prompts under one mode says nothing of that under the other.

    Parameters
    ----------
    distances : squared Euclidean, between the N points of a complete design.

    Returns
    -------
    At most 1, no unit; no interval is known to cover at its upper end. O(N^2 d) time, N^2 memory. Song et al.
    (2012), "Feature selection via dependence maximization", for the unbiased HSIC; Kornblith et al. (2019),
    "Similarity of neural network representations revisited".

    Raises
    ------
    MarginError : a prompt was not seen under every mode, fewer than four prompts, or a mode whose prompts
        coincide.
    """
    points = points_by_prompt(design)
    n, k = points.shape
    if n < 4:
        raise MarginError(f"debiased CKA needs at least four prompts, got {n}")
    D = distances.matmul(np.eye(distances.n_points))
    np.fill_diagonal(D, 0)
    arrangement = [_u_centred(D[np.ix_(of_mode, of_mode)]) for of_mode in points.T]
    hsic = np.array([[np.sum(A * B) for B in arrangement] for A in arrangement])
    size = np.sqrt(np.diag(hsic))
    if (size <= n * distances.resolution * D.max()).any():
        raise MarginError("CKA undefined: all prompts of a mode coincide")
    values = [hsic[a, b] / (size[a] * size[b]) for a, b in combinations(range(k), 2)]
    return Estimate(float(np.mean(values)), n_prompts=n)


def _u_centred(D: NDArray[np.float64]) -> NDArray[np.float64]:
    """U-centred squared distances, -2 times U-centred inner products (Szekely and Rizzo, 2014)."""
    n = len(D)
    rows = D.sum(axis=1) / (n - 2)
    centred: NDArray[np.float64] = D - rows[:, None] - rows + D.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(centred, 0)
    return centred
