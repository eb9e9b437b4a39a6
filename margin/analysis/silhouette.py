"""The one silhouette kernel: every margin is a mean of these samples.

For point i with own mode c(i): a_i is its mean distance to the rest of its mode, b_ic its mean distance to
mode c, b_i the least of those over the other modes, s_i = (b_i - a_i) / max(a_i, b_i) (Rousseeuw, 1987,
"Silhouettes: a graphical aid to the interpretation and validation of cluster analysis"). The plain form
leaves out the point itself; the leave-prompt-out form leaves out every point of its prompt, since a prompt's
own answer under the rival mode is not a fresh draw from that mode and biases b downwards. Where prompts come
in clusters that form leaves out every point of the cluster, for the same reason.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from margin.analysis.distances import Distances
from margin.analysis.within import Within
from margin.stats.design import Design


@dataclass(frozen=True, eq=False)
class ModeDistances:
    """Mean distance from each point to each mode, some points left out."""

    mean: NDArray[np.float64]
    """(N, k); NaN where no point of the mode is left."""
    count: NDArray[np.float64]
    """(N, k) points each mean is over."""


@dataclass(frozen=True, eq=False)
class ModeSums:
    """Summed distances from each point to each mode, and those within its prompt to leave out again."""

    design: Design
    total: NDArray[np.float64]
    """(N, k) sum of the distances to all points of each mode."""
    own: NDArray[np.float64]
    """(N, k) sum of the distances to the points of the same unit, prompt or cluster, in each mode."""
    own_count: NDArray[np.float64]
    """(N, k) those points, the point itself among them."""
    resolution: float
    """Share of a point's mean distance to all others below which one to a mode is rounding, taken as 0."""
    within: Within | None = None
    """Distances within clusters; None without."""

    def plain(self) -> ModeDistances:
        """Mean distances without the point itself."""
        return self._without(np.zeros_like(self.total), self.design.onehot)

    def leave_prompt_out(self) -> ModeDistances:
        """Mean distances without any point of the same prompt, or of the same cluster of prompts."""
        return self._without(self.own, self.own_count)

    def _without(self, own: NDArray[np.float64], count: NDArray[np.float64]) -> ModeDistances:
        size = self.design.onehot.sum(axis=0)
        mean = mean_distances(self.total, size, own, count, self.resolution)
        return ModeDistances(mean, size - count)


def mode_sums(distances: Distances, design: Design) -> ModeSums:
    """Sum the distances from each point to each mode. One product D @ onehot, and N k single distances."""
    within = None if design.clusters is None else Within(distances, design)
    own, own_count = own_distances(distances, design, within)
    return ModeSums(
        design=design,
        total=distances.matmul(design.onehot),
        own=own,
        own_count=own_count,
        resolution=distances.resolution,
        within=within,
    )


def own_distances(
    distances: Distances, design: Design, within: Within | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sums (N, k) of each point's distances to the points of its unit in each mode, and their number."""
    if design.clusters is None:
        return counterpart_distances(distances, design), (design.counterpart >= 0).astype(np.float64)
    of_prompt = np.zeros((design.n_prompts, design.n_modes))
    of_prompt[design.prompt, design.mode] = 1
    count = design.clusters.sums(of_prompt)[design.unit][design.prompt]
    return (within or Within(distances, design)).matmul(design.onehot), count


def counterpart_distances(distances: Distances, design: Design) -> NDArray[np.float64]:
    """(N, k) distance from each point to its prompt's point in each mode; 0 where absent."""
    counterpart = np.zeros((design.n_points, design.n_modes))
    for mode in range(design.n_modes):
        here = np.flatnonzero((design.counterpart[:, mode] >= 0) & (design.mode != mode))
        counterpart[here, mode] = distances.between(here, design.counterpart[here, mode])
    return counterpart


def mean_distances(
    total: NDArray[np.float64],
    size: NDArray[np.float64],
    own: NDArray[np.float64],
    own_weight: NDArray[np.float64],
    resolution: float,
) -> NDArray[np.float64]:
    """Mean distance (N, k) of each point to each mode, its own prompt's or cluster's points left out.

    Parameters
    ----------
    total : (N, k) weighted sums of distances to all points of each mode; or (N, B, k) under B weightings.
    size : (k,) weights those sums are over; or (B, k).
    own : shaped as `total`, weighted sum of distances to take away again.
    own_weight : shaped as `total`, weight that sum is over.
    resolution : as `Distances.resolution`.

    Returns
    -------
    NaN where no weight is left, 0 where the mean is only rounding. The rounding is a point's own, by its mean
    distance to all points: one outlier among the prompts must not pass for the scale of all the others.
    """
    rounding = (total @ np.ones(total.shape[-1])) * (resolution / size.sum(axis=-1))
    left = size - own_weight
    mean: NDArray[np.float64] = np.full(left.shape, np.nan)
    np.divide(total - own, left, out=mean, where=left > 0)
    mean[mean <= rounding[..., None]] = 0
    return mean


@dataclass(frozen=True, eq=False)
class Silhouette:
    """Silhouette of every point."""

    samples: NDArray[np.float64]
    """(..., N) s_i in [-1, 1], above 0 if the point is nearer its own mode; 0 for 0/0 or a missing mean."""
    within: NDArray[np.float64]
    """(..., N) a_i, NaN where the mode holds no other point."""
    between: NDArray[np.float64]
    """(..., N) b_i, NaN where no other mode has a point left."""
    rival: NDArray[np.intp]
    """(..., N) index of the nearest other mode."""


def silhouette(mean: NDArray[np.float64], mode: NDArray[np.intp]) -> Silhouette:
    """Silhouettes from mean distances.

    Parameters
    ----------
    mean : (..., N, k) mean distance from each point to each mode; NaN marks a mode that does not take part.
    mode : (..., N) each point's own mode.
    """
    own = mode[..., None]
    within = np.take_along_axis(mean, own, axis=-1)[..., 0]
    others = np.where(np.isnan(mean), np.inf, mean)
    np.put_along_axis(others, np.broadcast_to(own, (*mean.shape[:-1], 1)), np.inf, axis=-1)
    rival = others.argmin(axis=-1)
    between = np.take_along_axis(others, rival[..., None], axis=-1)[..., 0]
    between[np.isinf(between)] = np.nan
    larger = np.maximum(within, between)
    samples = np.divide(between - within, larger, out=np.zeros_like(larger), where=larger > 0)
    return Silhouette(samples=samples, within=within, between=between, rival=rival)


def one_vs_one(mean: NDArray[np.float64], mode: NDArray[np.intp], a: int, b: int) -> Silhouette:
    """Silhouettes when only modes `a` and `b` take part; points of other modes get 0."""
    pair = np.isin(np.arange(mean.shape[-1]), (a, b))
    taking_part = np.isin(mode, (a, b))[..., None]
    return silhouette(np.where(pair & taking_part, mean, np.nan), mode)
