"""The variance that a jackknife counts twice where modes hardly differ.

A statistic of prompts is, to second order, a sum over prompts and over pairs of prompts. By Hoeffding's
decomposition a term h(p, q) of pairs is theta + g(p) + g(q) + r(p, q): what one prompt does alone, and what
only the two do together. The variance of the sum has a part from each; the jackknife has the first right and
takes twice the second (Efron and Stein, 1981, "The jackknife estimate of variance"). Where modes differ that
is nothing; where they do not g vanishes, r is all there is, and intervals are too wide by sqrt(2).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from margin.analysis.design import Design

SAMPLE = 256
"""Prompts whose pairs Var(r) is taken from: all of them in most runs. It is known to a fifth at worst (r of
one dimension), the standard error to a tenth."""


def sampled_prompts(design: Design) -> NDArray[np.intp]:
    """Indices of at most `SAMPLE` prompts, ascending.

    They are drawn from the ids with fixed randomness: an interval is then the same every time, and in
    whatever order the rows come.
    """
    drawn = np.random.default_rng(0).permutation(design.n_prompts)[:SAMPLE]
    return np.sort(np.argsort(design.prompt_ids)[drawn])


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
    return np.sum(r**2, axis=(-2, -1)) / (m * (m - 3))
