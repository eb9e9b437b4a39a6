"""Influence of each prompt on means of leave-prompt-out silhouettes: what intervals on a margin rest on.

The infinitesimal jackknife (Efron, 1982, "The Jackknife, the Bootstrap and Other Resampling Plans", ch. 6)
gives each prompt p a weight w_p and differentiates the statistic at w = 1. A prompt acts in two ways: by its
own silhouettes (theta is their weighted mean), and as a neighbour in the mean distances of everybody else's.
The second part is what intervals that treat centroids as fixed leave out, and why they cover far too little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from margin.analysis.distances import Distances
from margin.analysis.silhouette import ModeSums, Silhouette
from margin.analysis.within import Within


@dataclass(frozen=True, eq=False)
class SilhouetteMean:
    """A weighted mean of silhouettes: the margin overall, of one mode, one mode pair or one slice."""

    silhouette: Silhouette
    """Leave-prompt-out silhouettes of all N points."""
    weights: NDArray[np.float64]
    """(N,) weights >= 0, for example 1 on the points of one mode; not all 0."""

    @property
    def value(self) -> float:
        """The weighted mean, in [-1, 1]."""
        return float(self.weights @ self.silhouette.samples / self.weights.sum())


def influence(distances: Distances, sums: ModeSums, means: Sequence[SilhouetteMean]) -> NDArray[np.float64]:
    """Derivative of each mean with respect to each prompt's weight.

    Parameters
    ----------
    distances, sums : the distances and the sums the silhouettes were made from.
    means : G means of leave-prompt-out silhouettes.

    Returns
    -------
    (n, G) float64. Each column sums to 0 up to rounding: scaling all weights changes nothing. Where prompts
    come in clusters, those of a cluster are no neighbours of each other; their sum is that of the cluster.

    Cost: one product D @ M with M (N, k G); O(N d k G) where the distance is linear, O(N^2 d) for Euclidean.
    """
    design = sums.design
    left_out = sums.leave_prompt_out()
    mean = np.nan_to_num(left_out.mean)
    points = np.arange(design.n_points)
    own = np.zeros((design.n_prompts, len(means)))
    sensitivity = np.zeros((design.n_points, len(means), design.n_modes))
    for g, part in enumerate(means):
        share = part.weights / part.weights.sum()
        own[:, g] = design.sum_by_prompt(share * (part.silhouette.samples - part.value))
        to_own, to_rival = _derivatives(part.silhouette)
        sensitivity[points, g, design.mode] = share * to_own
        sensitivity[points, g, part.silhouette.rival] += share * to_rival
    # d mean_ic / d w_p = (d(i, x_pc) - mean_ic) / count_ic for every prompt p but i's own.
    sensitivity /= np.maximum(left_out.count, 1)[:, None, :]
    flat = sensitivity.reshape(design.n_points, -1)
    reached = distances.matmul(flat).reshape(sensitivity.shape)
    as_neighbour = np.zeros((design.n_prompts, len(means), design.n_modes))
    present = np.zeros((design.n_prompts, 1, design.n_modes))
    as_neighbour[design.prompt, :, design.mode] = reached[points, :, design.mode]
    present[design.prompt, 0, design.mode] = 1
    constants = sensitivity * mean[:, None, :]
    of_prompt = design.sum_by_prompt(constants)
    if design.clusters is None:
        as_neighbour -= design.sum_by_prompt(sensitivity * sums.own[:, None, :])
        of_unit = of_prompt
    else:
        of_unit_distances = sums.within or Within(distances, design)
        within = of_unit_distances.matmul(flat).reshape(sensitivity.shape)
        as_neighbour[design.prompt, :, design.mode] -= within[points, :, design.mode]
        of_unit = design.clusters.sums(of_prompt)[design.unit]
    as_neighbour -= constants.sum(axis=0) - of_unit
    influences: NDArray[np.float64] = own + (present * as_neighbour).sum(axis=-1)
    return influences


def _derivatives(silhouette: Silhouette) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """ds/da and ds/db of each point; 0 where s is 0 by convention."""
    a, b = np.nan_to_num(silhouette.within), np.nan_to_num(silhouette.between)
    defined = ~np.isnan(silhouette.within + silhouette.between) & (np.maximum(a, b) > 0)
    # s = 1 - a/b below a = b and b/a - 1 above: both branches have ds/da = -b / max^2 and ds/db = a / max^2.
    scale = defined / np.where(defined, np.maximum(a, b) ** 2, 1)
    return -b * scale, a * scale
