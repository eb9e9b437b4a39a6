"""The variance a jackknife counts twice where modes hardly differ.

Energy distance, MMD and the mode's variance are U-statistics: means over pairs of prompts of a symmetric
h(p, q). By Hoeffding's decomposition h(p, q) = theta + g(p) + g(q) + r(p, q), and the variance of the mean is
4 Var(g) / n + 2 Var(r) / n^2. The jackknife has the first part right and takes the second for 4 Var(r) / n^2
(Efron and Stein, 1981, "The jackknife estimate of variance"). That is nothing where modes differ, and half of
everything where they do not: the interval is then too wide by the square root of 2.
"""

from __future__ import annotations

import numpy as np

from margin.analysis.design import Design
from margin.analysis.distances import Distances
from margin.analysis.separation.paired import points_by_prompt

PROBES = 32
"""Random sign vectors behind a trace: it is known to a quarter at worst, the standard error to a tenth."""


def counted_twice(distances: Distances, design: Design, rng: np.random.Generator) -> float:
    """2 Var(r) / (n (n-1)) of h(p, q) = sum over modes c, c' of (1[c = c'] - 1/k) d(x_pc, x_qc').

    Energy distance and MMD are the mean of -2 / (k-1) h in their distance, the mode's variance is that of
    -h / 2 in squared Euclidean distance; the excess variance scales with the square of the factor.

    Parameters
    ----------
    distances : between the N points of a complete design.
    rng : draws signs; the sum of r(p, q)^2 is a trace, estimated by products with sign vectors.

    Returns
    -------
    A variance, in the squared unit of the distance; 0 for fewer than three prompts.

    Cost: one product D @ M with M (N, k `PROBES`). Hutchinson (1990), "A stochastic estimator of the trace of
    the influence matrix".

    Raises
    ------
    MarginError : a prompt was not seen under every mode.
    """
    points = points_by_prompt(design)
    n, k = points.shape
    if n < 3:
        return 0.0
    contrast = np.eye(k) - 1 / k
    signs = np.empty((n, PROBES))
    signs[np.argsort(design.prompt_ids)] = rng.choice([-1.0, 1.0], (n, PROBES))  # by id: row order is nothing
    signs[:, 0] = 1  # the first probe gives the sums of h
    M = np.zeros((n * k, k, PROBES))
    for mode in range(k):
        M[points[:, mode], mode] = signs
    reached = distances.matmul(M.reshape(n * k, -1)).reshape(M.shape)
    H = np.einsum("pcdm,cd->pm", reached[points], contrast)
    a, b = (points[:, index].ravel() for index in np.indices((k, k)).reshape(2, -1))
    own = distances.between(a, b).reshape(n, -1) @ contrast.ravel()
    H -= own[:, None] * signs
    rows = H[:, 0] / (n - 1)
    theta = rows.mean()
    # What is left of h without theta, g(p) and g(q), the pairs of a prompt with itself left out throughout.
    g = (rows - theta) * (n - 1) / (n - 2)
    sums = signs.sum(axis=0)
    H -= (theta + g)[:, None] * (sums - signs) + (g @ signs - g[:, None] * signs)
    return float(2 * np.sum(H[:, 1:] ** 2) / (PROBES - 1) / (n * (n - 1)) ** 2)
