"""Angle between the mean states of two modes, seen from the origin."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from margin.analysis.separation.paired import points_by_prompt
from margin.analysis.vectors import FloatArray
from margin.errors import MarginError
from margin.stats.design import Design
from margin.stats.estimate import Estimate
from margin.stats.intervals import JACKKNIFE, t_interval


def centroid_angle(X: FloatArray, design: Design, level: float = 0.95) -> Estimate:
    """Angle in degrees between the modes' means; over several pairs of modes, the angle of their mean cosine.

    The inner products of the means are taken between different prompts, which removes what sampling noise
    adds to their lengths. An offset that all points share, as hidden states have, makes every angle small.

    Parameters
    ----------
    X : (N, d) points of a complete design, about the space's own origin.

    Returns
    -------
    Degrees in [0, 180]. The interval is the infinitesimal jackknife's for the cosine, carried over to the
    angle, so it is not symmetric and there is no standard error. An angle is not below 0: where the modes'
    means have one direction the interval holds 0 nearly always (.99 and more for .95); the p-value of the
    variance split tells whether they differ. Elsewhere it covers .94 to .98, over clusters too.
    The influences are on the angle itself; at 0 it has no derivative and there are none. So what an angle has
    above those of decoys has an interval where none of them is 0 within its noise; it covers .94 to 1.00.

    Cost: O(N d k), and a copy of the points in float64. A plain measure of direction (Mardia and Jupp, 2000,
    "Directional Statistics").

    Raises
    ------
    MarginError : a prompt was not seen under every mode, or a mode's mean is 0 within its sampling noise.
    """
    n, k = design.n_prompts, design.n_modes
    Z = X[points_by_prompt(design)].astype(np.float64)
    means = Z.mean(axis=0)
    Z -= means
    along = np.einsum("pcd,ed->pce", Z, means)
    if design.clusters is None:
        inner = means @ means.T - np.einsum("pcd,ped->ce", Z, Z) / (n * (n - 1))
        of_inner = (along + along.transpose(0, 2, 1)) / n
    else:
        inner, of_inner = _between_clusters(Z, means, along, design)
    length2 = np.diag(inner)
    if (length2 <= 0).any():
        raise MarginError("centroid angle undefined: the mean of a mode is 0 within its sampling noise")
    cosine = inner / np.sqrt(np.outer(length2, length2))
    of_length2 = np.diagonal(of_inner, axis1=1, axis2=2) / length2
    a, b = np.array(list(combinations(range(k), 2))).T
    influence = of_inner[:, a, b] / np.sqrt(length2[a] * length2[b])
    influence -= cosine[a, b] * (of_length2[:, a] + of_length2[:, b]) / 2
    of_cosine = t_interval(float(cosine[a, b].mean()), influence.mean(axis=1), level, over=design.clusters)
    if of_cosine.low is None or of_cosine.high is None:
        return replace(of_cosine, estimate=_degrees(of_cosine.estimate))
    return replace(
        of_cosine,
        estimate=_degrees(of_cosine.estimate),
        low=_degrees(of_cosine.high),
        high=_degrees(of_cosine.low),
        se=None,
        influence=_on_angle(of_cosine),
        method=f"{JACKKNIFE}, on the cosine",
    )


def _between_clusters(
    Z: NDArray[np.float64], means: NDArray[np.float64], along: NDArray[np.float64], design: Design
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Inner products (k, k) of the means between prompts of different clusters, and influences (n, k, k).

    Z (n, k, d) are the points less the means (k, d) of the modes, along (n, k, k) their products with them.
    """
    assert design.clusters is not None
    n, unit = design.n_prompts, design.unit
    others = n - design.prompts_in_unit
    of_cluster = design.clusters.sums(Z)
    own = np.einsum("pcd,ped->pce", Z, of_cluster[unit])
    shared = np.einsum("gcd,ed->gce", of_cluster, means)
    # x_pc . (sum of x_qe over the prompts q of other clusters), x = z + mean, and all z sum to 0.
    sums = others[:, None, None] * (along + means @ means.T) - own - shared[unit].transpose(0, 2, 1)
    inner = sums.sum(axis=0) / others.sum()
    inner = (inner + inner.T) / 2
    influence = (sums + sums.transpose(0, 2, 1) - 2 * inner * others[:, None, None]) / others.sum()
    return inner, influence


def _on_angle(cosine: Estimate) -> NDArray[np.float64] | None:
    """(n,) influences on the angle in degrees, by its derivative; None where the angle is 0 or 180."""
    squared_sine = 1 - cosine.estimate**2
    if cosine.influence is None or squared_sine <= 0:
        return None
    found: NDArray[np.float64] = -np.degrees(cosine.influence / np.sqrt(squared_sine))
    return found


def _degrees(cosine: float) -> float:
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
