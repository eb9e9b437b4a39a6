"""The variance that a jackknife counts twice where modes hardly differ.

Energy distance, MMD and the mode's variance are U-statistics: means over pairs of prompts of a symmetric
h(p, q). By Hoeffding's decomposition h(p, q) = theta + g(p) + g(q) + r(p, q): what one prompt does alone, and
what only the two do together. The variance of the mean is 4 Var(g) / n + 2 Var(r) / (n (n-1)); the jackknife
has the first part right and takes about twice the second (Efron and Stein, 1981, "The jackknife estimate of
variance"). Where modes differ that is nothing; where they do not g vanishes, r is all there is, and intervals
are too wide by sqrt(2).

Half of it is taken away, and the variance is held to be no less than the second part, which is there whether
modes differ or not: where g vanishes the jackknife knows of r only by the size of the mean itself, so that a
mean that happens to lie low comes with a standard error near 0. Along one direction intervals covered .74 to
.87 without that, and cover .99 or more with it. Without a difference they are then wide: .98 to 1.00.

With all of it taken away intervals would be too narrow where modes differ a little: estimates are skewed,
small ones come with small standard errors, and the jackknife has nothing to spare. Of 15 clusters or 20 to 50
prompts in 16 dimensions or more, where modes differ, 95% intervals of the energy distance cover .92 to .97
with half taken away, .87 to .96 with all of it, .94 to .99 with none. In one to three dimensions, where r is
far from normal, they go down to .85 where modes differ a little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from margin.analysis.distances import Distances
from margin.analysis.separation.paired import points_by_prompt
from margin.stats.design import Design

TAKEN = 0.5
"""Share that is taken away of the variance counted twice."""
SAMPLE = 256
"""Prompts whose pairs Var(r) is taken from: all of them in most runs. It is known to a fifth at worst (r of
one dimension), the standard error to a tenth."""


@dataclass(frozen=True)
class SecondOrder:
    """What pairs of prompts have in the variance of a mean over all of them."""

    variance: float
    """What the mean varies by at least: 2 Var(r) / (n (n-1))."""
    counted_twice: float
    """Share `TAKEN` of what the delete-one jackknife takes it for beyond that: of 4 / (n (n-2)) less
    2 / (n (n-1))."""


def second_order(residual: float, n: int) -> SecondOrder:
    """From Var(r) of n >= 3 independent units, in the squared unit of h."""
    return SecondOrder(2 * residual / (n * (n - 1)), TAKEN * 2 * residual / ((n - 1) * (n - 2)))


def sampled_prompts(design: Design) -> NDArray[np.intp]:
    """Indices of some `SAMPLE` prompts at most, ascending; whole clusters, where prompts come in such.

    They are drawn from the ids with fixed randomness: an interval is then the same every time, and in
    whatever order the rows come.
    """
    drawn = np.random.default_rng(0).permutation(design.n_units)
    if design.clusters is None:
        return np.sort(np.argsort(design.prompt_ids)[drawn[:SAMPLE]])
    within = np.cumsum(design.clusters.sizes[drawn]) <= SAMPLE
    within[:4] = True  # of clusters so large that few fit
    return np.flatnonzero(np.isin(design.unit, drawn[within]))


def contrast_residual(distances: Distances, design: Design) -> float:
    """Var(r) of h(p, q) = sum over modes c, c' of (1[c = c'] - 1/k) d(x_pc, x_qc').

    Energy distance and MMD are the mean of -2 / (k-1) h in their distance, the mode's variance is that of
    -h / 2 in squared Euclidean distance; their Var(r) is this one times the square of the factor.

    Parameters
    ----------
    distances : between the N points of a complete design.

    Returns
    -------
    A variance, in the squared unit of the distance; 0 for fewer than four prompts.

    Cost: O(m^2 k^2 d) for m prompts, at most `SAMPLE`.

    Raises
    ------
    MarginError : a prompt was not seen under every mode.
    """
    k = design.n_modes
    some = sampled_prompts(design)
    points = points_by_prompt(design)[some]
    D = distances.subset(points.ravel()).matmul(np.eye(points.size)).reshape(points.shape * 2)
    kernel = np.einsum("pcqd,cd->pq", D, np.eye(k) - 1 / k)
    if design.clusters is not None:
        of_some = design.clusters.part(some)
        # Means over pairs of clusters, each by its share of the prompts.
        kernel = of_some.sums(of_some.sums(kernel).T) * (len(of_some) / len(some)) ** 2
    return float(residual_variance(kernel))


def residual_variance(kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Var(r) of h over pairs of different prompts, without bias.

    Parameters
    ----------
    kernel : (..., m, m) symmetric h(p, q); the diagonal does not count.

    Returns
    -------
    (...,) in the squared unit of h; 0 for fewer than four prompts, whose pairs leave no residual.
    """
    m = kernel.shape[-1]
    if m < 4:
        return np.zeros(kernel.shape[:-2])
    different = ~np.eye(m, dtype=bool)
    rows = np.where(different, kernel, 0).sum(axis=-1) / (m - 1)
    theta = rows.mean(axis=-1, keepdims=True)
    g = (rows - theta) * (m - 1) / (m - 2)
    r = np.where(different, kernel - theta[..., None] - g[..., None] - g[..., None, :], 0)
    found: NDArray[np.float64] = np.sum(r**2, axis=(-2, -1)) / (m * (m - 3))
    return found
