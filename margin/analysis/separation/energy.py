"""Energy distance between modes, prompt against other prompts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from margin.analysis.distances import Distances
from margin.analysis.separation.paired import points_by_prompt
from margin.analysis.separation.pairs import pair_mean
from margin.analysis.separation.second_order import contrast_residual, second_order
from margin.analysis.silhouette import mode_sums
from margin.stats.design import Design
from margin.stats.estimate import Estimate
from margin.stats.intervals import t_interval

METHOD = "delete-one-prompt jackknife, t"


def energy_distance(distances: Distances, design: Design, level: float = 0.95) -> Estimate:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'| for X, X' of one mode and Y, Y' of another; mean over pairs.

    A U-statistic: distances between points of one prompt, a point's zero distance to itself among them, are
    left out. So it is unbiased, 0 on average without a difference (and then may fall below 0), where the
    version with all pairs, of which SciPy's `energy_distance` is the square root in one dimension, is
    positive by its self-distances.

    Parameters
    ----------
    distances : Euclidean, between the N points of a complete design.

    Returns
    -------
    In the unit of the distance, with the delete-one-prompt (or cluster) jackknife less half of what it counts
    twice (see `second_order`), and Student's t; no interval from two prompts.

    Cost: O(N^2 d) for Euclidean distances. Szekely and Rizzo (2013), "Energy statistics: a class of
    statistics based on distances".

    Raises
    ------
    MarginError : a prompt was not seen under every mode.
    """
    others = distances_to_other_prompts(distances, design)
    n, k = design.n_units, design.n_modes
    own = np.trace(others, axis1=1, axis2=2)
    found = pair_mean(2 * (others.sum(axis=(1, 2)) - k * own) / (k * (k - 1)), design)
    if n < 3:
        return Estimate(found.value, n_prompts=design.n_prompts)
    influence = found.influence * (n - 1) / (n - 2)  # without p: (n theta - 2 h_p) / (n - 2)
    residual = (2 / (k - 1)) ** 2 * contrast_residual(distances, design)
    of_pairs = second_order(residual, n)
    return t_interval(
        found.value,
        influence,
        level,
        METHOD,
        counted_twice=of_pairs.counted_twice,
        at_least=of_pairs.variance,
        over=design.clusters,
    )


def distances_to_other_prompts(distances: Distances, design: Design) -> NDArray[np.float64]:
    """(n, k, k) sums of the distances from each prompt's point under mode c to the points of other prompts
    under c'; of other clusters, where prompts come in such."""
    points = points_by_prompt(design)
    sums = mode_sums(distances, design)
    return (sums.total - sums.own)[points]
