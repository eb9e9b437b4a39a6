"""Maximum mean discrepancy between modes."""

from __future__ import annotations

import numpy as np

from margin.analysis.distances import DistanceMatrix, Distances
from margin.analysis.separation.energy import energy_distance
from margin.errors import MarginError
from margin.stats.design import Design
from margin.stats.estimate import Estimate


def kernel_distances(distances: Distances) -> DistanceMatrix:
    """1 - exp(-D / median of D) between N points, D their squared Euclidean distances.

    Cost: O(N^2 d) time, N^2 memory.

    Raises
    ------
    MarginError : half of all pairs of points coincide, which leaves the kernel without a width.
    """
    D = distances.matmul(np.eye(distances.n_points))
    width = float(np.median(D[np.triu_indices(len(D), 1)]))
    if width <= distances.resolution * D.max():
        raise MarginError("kernel undefined: half of all pairs of points coincide")
    kernel = -np.expm1(-np.maximum(D, 0) / width)
    np.fill_diagonal(kernel, 0)
    return DistanceMatrix(kernel)


def mmd2(kernel: Distances, design: Design, level: float = 0.95) -> Estimate:
    """Unbiased squared MMD, E k(X, X') + E k(Y, Y') - 2 E k(X, Y) over different prompts; mean over pairs.

    Parameters
    ----------
    kernel : 1 - k(x, y) between the N points of a complete design, as `kernel_distances` makes it.

    Returns
    -------
    At most 2, 0 on average without a difference, no unit; it depends on the kernel's width and so on the
    data: compare within one space. Interval as for `energy_distance`, which this is in the distance 1 - k
    (Sejdinovic et al., 2013, "Equivalence of distance-based and RKHS-based statistics"). Gretton et al.
    (2012), "A kernel two-sample test". O(N^2 k).

    Raises
    ------
    MarginError : a prompt was not seen under every mode.
    """
    return energy_distance(kernel, design, level)
