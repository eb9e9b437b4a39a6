"""The kernel that energy distance, MMD and the mode's variance share: what a jackknife counts twice in it."""

from __future__ import annotations

import numpy as np

from margin.analysis.design import Design
from margin.analysis.distances import Distances
from margin.analysis.second_order import residual_variance, sampled_prompts
from margin.analysis.separation.paired import points_by_prompt


def contrast_counted_twice(distances: Distances, design: Design) -> float:
    """2 Var(r) / (n (n-1)) of h(p, q) = sum over modes c, c' of (1[c = c'] - 1/k) d(x_pc, x_qc').

    Energy distance and MMD are the mean of -2 / (k-1) h in their distance, the mode's variance is that of
    -h / 2 in squared Euclidean distance; the excess variance scales with the square of the factor.

    Parameters
    ----------
    distances : between the N points of a complete design.

    Returns
    -------
    A variance, in the squared unit of the distance; 0 for fewer than four prompts.

    Cost: O(m^2 k^2 d) for m prompts, at most `second_order.SAMPLE`.

    Raises
    ------
    MarginError : a prompt was not seen under every mode.
    """
    n, k = design.n_prompts, design.n_modes
    points = points_by_prompt(design)[sampled_prompts(design)]
    D = distances.subset(points.ravel()).matmul(np.eye(points.size)).reshape(points.shape * 2)
    kernel = np.einsum("pcqd,cd->pq", D, np.eye(k) - 1 / k)
    return float(2 * residual_variance(kernel) / (n * max(1, n - 1)))
