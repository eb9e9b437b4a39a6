"""What the points vary by: the prompt, the mode, or how a prompt takes the mode (interaction)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from margin.analysis.distances import Distances
from margin.analysis.separation.energy import METHOD
from margin.analysis.separation.paired import points_by_prompt
from margin.analysis.separation.pairs import pair_mean
from margin.analysis.separation.second_order import SecondOrder, contrast_residual, second_order
from margin.analysis.silhouette import counterpart_distances
from margin.analysis.within import matmul_within
from margin.stats.design import Design
from margin.stats.estimate import Estimate
from margin.stats.intervals import t_interval


@dataclass(frozen=True, eq=False)
class VarianceSplit:
    """Shares of the total variance, and the mode's share once prompts are set aside.

    The three shares are of unbiased components and sum to 1; that of the mode is about 0 where modes make no
    difference, so it may come out below 0. `partial_eta2` is the classical ratio: about 1/n without any
    difference, which is why it carries no interval and is read with a permutation p-value. `partial_epsilon2`
    is the same without that bias. All are 0 where nothing varies.
    """

    prompt: Estimate
    mode: Estimate
    interaction: Estimate
    partial_eta2: Estimate
    """SS_mode / (SS_mode + SS_interaction), in [0, 1]."""
    partial_epsilon2: Estimate
    """(n partial_eta2 - 1) / (n - 1), in [-1/(n-1), 1]."""
    influence: NDArray[np.float64]
    """(n,) influence of each prompt on `partial_epsilon2`."""


def variance_split(distances: Distances, design: Design, level: float = 0.95) -> VarianceSplit:
    """Split the variance of points x_pc of prompt p under mode c.

    Parameters
    ----------
    distances : squared Euclidean, between the N = n k points of a complete design.

    Returns
    -------
    Shares without unit; intervals by the jackknife over prompts, less half of what it counts twice, and never
    less than what pairs of prompts vary by (see `second_order`). In 16 dimensions or more intervals of 95%
    cover .92 to .98, over clusters too (15 of 3 to 10, of any correlation), those of the mode's share .98 to
    1.00 without a difference. Where all that varies lies along one direction or two, squares are far from
    normal: those of the mode's share cover .99 or more without a difference, .83 to .96 with one, those of
    the other shares .90 to .95, and .86 where prompts have heavy tails.

    Cost: O(N d k). Two-way layout without replication (Anderson, 2001, "A new method for non-parametric
    multivariate analysis of variance"); the unbiased ratio is epsilon squared (Kelley, 1935, "An unbiased
    correlation ratio").

    Raises
    ------
    MarginError : a prompt was not seen under every mode.
    """
    n, k = design.n_prompts, design.n_modes
    points = points_by_prompt(design)
    # Of each prompt: squares about its own mean, squared distance of that mean from the grand mean, and inner
    # products of its shifts with the mean shifts of the modes. Under weights u, v that sum to 0 distances are
    # inner products: u.D v = -2 (sum of u_i x_i).(sum of v_j x_j).
    shift = design.onehot / n - 1 / (n * k)
    to_mean = distances.matmul(np.full((n * k, 1), 1 / (n * k)))[:, 0]
    along = -0.5 * distances.matmul(shift)[points]
    squares = counterpart_distances(distances, design)[points].sum(axis=(1, 2)) / (2 * k)
    of_prompt = to_mean[points].sum(axis=1) - k * to_mean.mean() / 2 - squares
    of_mode = np.trace(along - along.mean(axis=1, keepdims=True), axis1=1, axis2=2)

    if not squares.any():
        of_mode = np.zeros(n)
    within = squares.mean()
    eta2 = float(of_mode.mean() / within) if within > 0 else 0.0
    # Against the shifts, and the means, of the prompts of other units only.
    own = _Own.of(distances, design, points, squares)
    mode_pairs = pair_mean(n * of_mode - own.shifts, design)
    mode = mode_pairs.value
    # Influences of means over pairs are those of the delete-one jackknife, (u-1) / (u-2) of the derivatives.
    units = max(design.n_units, 3)
    delete_one = (units - 1) / (units - 2)
    if design.clusters is None:
        of_prompts, prompt = (of_prompt - of_prompt.mean()) / (units - 2), of_prompt.sum() / (n - 1)
    else:
        pairs = pair_mean((n * of_prompt + of_prompt.sum() - own.means) / 2, design)
        of_prompts, prompt = delete_one * pairs.influence, pairs.value
    components = np.array([prompt, mode, within - mode])
    of_modes = delete_one * mode_pairs.influence
    influence = np.column_stack([of_prompts, of_modes, (squares - within) / n - of_modes])
    of_whole = influence.sum(axis=1)
    of_pairs = second_order(contrast_residual(distances, design) / 4, units)  # of -h / 2
    none = SecondOrder(0.0, 0.0)
    shares = [
        t_interval(
            _ratio(components[j], components.sum()),
            _influence_of_ratio(components[j], components.sum(), influence[:, j], of_whole),
            level,
            METHOD,
            counted_twice=_ratio(degenerate.counted_twice, components.sum() ** 2),
            at_least=_ratio(degenerate.variance, components.sum() ** 2),
            over=design.clusters,
        )
        for j, degenerate in enumerate((none, of_pairs, none))
    ]
    of_epsilon2 = _influence_of_ratio(mode, within, influence[:, 1], influence[:, 1] + influence[:, 2])
    return VarianceSplit(
        prompt=shares[0],
        mode=shares[1],
        interaction=shares[2],
        partial_eta2=Estimate(eta2, n_prompts=n),
        partial_epsilon2=t_interval(
            _ratio(mode, within),
            of_epsilon2,
            level,
            METHOD,
            counted_twice=_ratio(of_pairs.counted_twice, within**2),
            at_least=_ratio(of_pairs.variance, within**2),
            over=design.clusters,
        ),
        influence=of_epsilon2,
    )


@dataclass(frozen=True, eq=False)
class _Own:
    """What the prompts of a prompt's own unit, itself among them, have in sums over all prompts."""

    shifts: NDArray[np.float64]
    """(n,) inner products of its shifts under the modes with those of the unit's prompts."""
    means: NDArray[np.float64]
    """(n,) k times the squared distances of its mean from those of the unit's prompts."""

    @classmethod
    def of(
        cls,
        distances: Distances,
        design: Design,
        points: NDArray[np.intp],
        squares: NDArray[np.float64],
    ) -> _Own:
        """From distances alone, as the whole sums are; `squares` (n,) of each prompt about its own mean."""
        if design.clusters is None:
            return cls(squares, np.zeros_like(squares))
        k = design.n_modes
        sums = matmul_within(distances, design, design.onehot)
        by_mode = (sums - sums.mean(axis=1, keepdims=True))[points]
        shifts = -0.5 * np.trace(by_mode - by_mode.mean(axis=1, keepdims=True), axis1=1, axis2=2)
        others = sums[points].sum(axis=(1, 2)) / k - 2 * squares
        of_unit = design.clusters.sums(squares)[design.unit]
        return cls(shifts, others - (design.prompts_in_unit - 2) * squares - of_unit)


def _ratio(part: float, whole: float) -> float:
    """part / whole; 0 where the whole is 0."""
    return float(part / whole) if whole > 0 else 0.0


def _influence_of_ratio(
    part: float, whole: float, of_part: NDArray[np.float64], of_whole: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Influence on part / whole, from those on both; 0 where the whole is 0."""
    return of_part / whole - part * of_whole / whole**2 if whole > 0 else np.zeros_like(of_part)
