"""Cross-fitted d': how many standard deviations apart two modes stand on the line through their centroids.

In sample, d' is large without any difference when dimensions are many: the line fits the noise. So each
prompt is projected on the line through the centroids of the other folds.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from margin.analysis.distances import Distances
from margin.analysis.separation.centroids import centroids
from margin.analysis.separation.paired import points_by_prompt
from margin.errors import MarginError
from margin.stats.d_prime import d_prime as along_line
from margin.stats.design import Design
from margin.stats.estimate import Estimate
from margin.stats.folds import counted_twice, training_weights
from margin.stats.intervals import JACKKNIFE, t_interval


def d_prime(distances: Distances, design: Design, fold: NDArray[np.intp], level: float = 0.95) -> Estimate:
    """Mean difference of two modes along the line, over the standard deviation there; mean over pairs.

    Parameters
    ----------
    distances : squared Euclidean, between the N points of a complete design.
    fold : (n,) fold of each prompt.

    Returns
    -------
    0 on average without a difference (and then on either side of it), no unit. Interval by the infinitesimal
    jackknife over prompts, through both parts a prompt plays: projected on a line, and turning the lines of
    the other folds, less what `margin.stats.folds.counted_twice` finds. The interval is for the mean d' of
    lines through centroids of as many prompts.

    Cost: O(N d k^2 folds). Green and Swets (1966), "Signal Detection Theory and Psychophysics".

    Raises
    ------
    MarginError : a prompt was not seen under every mode, or two modes differ but do not vary on their line.
    """
    points = points_by_prompt(design)
    weights = training_weights(design, fold)
    pairs = [list(pair) for pair in combinations(range(design.n_modes), 2)]
    found = [_of_pair(distances, points[:, pair], weights[:, :, pair], fold) for pair in pairs]
    value = float(np.mean([value for value, _, _ in found]))
    projected = np.mean([projected for _, projected, _ in found], axis=0)
    turned = np.mean([turned for _, _, turned in found], axis=0)
    of_projected, of_both = projected, projected + turned
    if design.clusters is not None:
        of_projected, of_both = (design.clusters.sums(each) for each in (of_projected, of_both))
    twice = counted_twice(of_projected, of_both)
    return t_interval(value, projected + turned, level, JACKKNIFE, counted_twice=twice, over=design.clusters)


def _of_pair(
    distances: Distances, points: NDArray[np.intp], weights: NDArray[np.float64], fold: NDArray[np.intp]
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """d' of two modes and its influences (n,), of prompts as projected and as turning the lines.

    points (n, 2), weights of the centroids (N, folds, 2).

    With projections y, their mean shift S and their standard deviation s, d' = S / s. The influence of
    prompt q is the derivative of d' in its weight (Jaeckel, 1972, "The infinitesimal jackknife"), by the
    chain rule in two parts; m prompts make a line.

    As projected, the lines held, q moves d' by what its two points do: `margin.stats.d_prime`.

    As turning, q moves the centroids a and b of each fold but its own by (x_qa - a) / m and (x_qb - b) / m.
    The line L = a - b, of direction u = L / |L|, so moves by dL = (x_qa - x_qb - L) / m, its direction by
    du = (dL - u (u dL)) / |L|, and the midpoint c by dc = ((x_qa + x_qb) / 2 - c) / m. A held-out point is
    projected on y_i = (x_i - c) u. With the slope g_i of d' in y_i, and G = sum g_i (x_i - c), d' moves by
    sum g_i dy_i = G du - (sum g_i) (u dc), where G du = (G dL - (G L) (u dL) / |L|) / |L|.
    """
    n, folds = len(points), np.arange(weights.shape[1])
    own = fold[:, None] == folds
    found = centroids(distances, weights)
    length = np.sqrt(found.between[:, 0, 1])
    scale = np.divide(1.0, length, out=np.zeros_like(length), where=length > 0)
    # Half the difference of squared distances to two centroids is the projection, from their midpoint.
    to_a, to_b = np.moveaxis(found.to_points[points], -1, 0)
    projections = (to_b - to_a) / 2 * scale  # (n, 2, folds)
    y = projections.transpose(0, 2, 1)[own]
    on_line = along_line(y.ravel(), np.tile([True, False], n))
    deviation, spread = on_line.deviation.reshape(n, 2), on_line.spread
    if spread <= np.sqrt(distances.resolution) * np.abs(y).max():
        if y.any():
            raise MarginError("d' undefined: two modes differ but do not vary on the line between them")
        return 0.0, np.zeros(n), np.zeros(n)
    value, projected = on_line.value, on_line.influence.reshape(n, 2).sum(axis=1)

    slope = np.array([1, -1]) / (n * spread) - value * deviation / (2 * (n - 1) * spread**2)
    slopes = slope[:, :, None] * own[:, None, :]
    total = slopes.sum(axis=(0, 1))
    gradient = -total * weights.sum(axis=2) / 2
    gradient[points] += slopes
    # Of weights that sum to 0, squared distances make inner products with G, up to one constant a fold.
    along = -0.5 * distances.matmul(gradient)
    of_line = np.einsum("nfc,nf,c->f", weights, along, [1.0, -1.0])
    q_shift = projections[:, 0] - projections[:, 1]
    across = along[points[:, 0]] - along[points[:, 1]] - of_line - of_line * scale * (q_shift - length)
    turned = scale * across - total * projections.mean(axis=1)
    trained_on = ~own / (~own).sum(axis=0)
    return value, projected, np.sum(trained_on * turned, axis=1)
