"""Many numbers at once: adjusted p-values and simultaneous intervals."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from margin.stats.clusters import Clusters
from margin.stats.estimate import Estimate
from margin.stats.intervals import PROPORTION, proportion
from margin.stats.quantiles import normal_tail, t_quantile

Side = Literal["both", "lower"]


def holm(p_values: ArrayLike, weights: ArrayLike | None = None) -> NDArray[np.float64]:
    """Holm's step-down p-values: family-wise error under any dependence. (m,) in, (m,) out.

    `weights` (m,) > 0 say how the level is shared out at the first step, in proportion, equally unless given;
    what is rejected leaves its share to the others. Holm (1979), "A simple sequentially rejective multiple
    test procedure", Scandinavian Journal of Statistics 6, section 4 for weights.
    """
    p = np.asarray(p_values, dtype=np.float64)
    w = np.ones_like(p) if weights is None else np.asarray(weights, dtype=np.float64)
    order = np.argsort(p / w)
    left = np.cumsum(w[order][::-1])[::-1]
    stepped = np.maximum.accumulate(p[order] * left / w[order])
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted


def correlations(influence: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlations (G, G) of G statistics with influences (n, G); 0 where one has no spread."""
    lengths = np.linalg.norm(influence, axis=0)
    directions = influence / np.where(lengths > 0, lengths, 1)
    return directions.T @ directions


def simultaneous_estimates(
    values: ArrayLike,
    influence: NDArray[np.float64],
    rng: np.random.Generator,
    *,
    level: float = 0.95,
    side: Side = "both",
    n_prompts: ArrayLike | None = None,
    n_clusters: ArrayLike | None = None,
    degrees: ArrayLike | None = None,
    draws: int = 10_000,
    over: Clusters | None = None,
) -> list[Estimate]:
    """Intervals that hold together: all G cover with probability `level` (max-t, multiplier bootstrap).

    Parameters
    ----------
    values : (G,) statistics.
    influence : (n, G) their influences by prompt; what they share makes the intervals narrower than
        Bonferroni's.
    side : "both" for intervals; "lower" for lower bounds (`high` is then None).
    n_prompts : (G,) prompts each statistic rests on, which correct its standard error. All n unless given.
    over : which prompts come in clusters; influences are then summed by cluster.
    n_clusters : (G,) clusters each statistic rests on, as n_prompts; all of `over` unless given.
    degrees : (G,) degrees of freedom of the standard errors, each one fewer than its prompts (clusters)
        unless given: the Gaussian critical value is carried over to Student's t with these.

    Cost: (n + draws) G^2.

    Source: Chernozhukov, Chetverikov and Kato (2013), "Gaussian approximations and multiplier bootstrap for
    maxima of sums of high-dimensional random vectors".
    """
    values = np.asarray(values, dtype=np.float64)
    prompts = np.broadcast_to(len(influence) if n_prompts is None else np.asarray(n_prompts), values.shape)
    sizes = prompts
    if over is not None:
        influence = over.sums(influence)
        sizes = np.broadcast_to(
            len(influence) if n_clusters is None else np.asarray(n_clusters), values.shape
        )
    fewer = np.maximum(sizes - 1, 1)
    se = np.sqrt(sizes / fewer * np.sum(influence**2, axis=0))
    critical = _critical_value(influence, rng, level, side, draws)
    half = -t_quantile(normal_tail(critical), fewer if degrees is None else np.asarray(degrees)) * se
    return [
        Estimate(
            estimate=float(v),
            low=float(v - h),
            high=float(v + h) if side == "both" else None,
            se=float(s),
            level=level,
            method="infinitesimal jackknife, max-t",
            n_prompts=int(n),
            n_clusters=None if over is None else int(g),
        )
        for v, h, s, n, g in zip(values, half, se, prompts, sizes, strict=True)
    ]


def simultaneous_proportions(
    values: ArrayLike,
    influence: NDArray[np.float64],
    rng: np.random.Generator,
    *,
    level: float = 0.95,
    draws: int = 10_000,
    over: Clusters | None = None,
) -> list[Estimate]:
    """Intervals of G proportions in [0, 1] that hold together, each as `margin.stats.intervals.proportion`.

    Each is made at the level at which, by the max-t of `simultaneous_estimates`, all G cover together. So
    they stay in [0, 1], and do not shrink to a point where all prompts agree.

    Parameters
    ----------
    values : (G,) proportions.
    influence : (n, G) their influences by prompt.
    over : which prompts come in clusters.

    Cost: (n + draws) G^2.
    """
    each = pointwise_level(influence, rng, level=level, draws=draws, over=over)
    return [
        replace(
            proportion(float(value), U, each, over=over),
            level=level,
            method=f"{PROPORTION}, max-t",
            influence=U,
        )
        for value, U in zip(np.asarray(values, dtype=np.float64), influence.T, strict=True)
    ]


def pointwise_level(
    influence: NDArray[np.float64],
    rng: np.random.Generator,
    *,
    level: float = 0.95,
    draws: int = 10_000,
    over: Clusters | None = None,
) -> float:
    """Level at which intervals of G statistics, each by itself, cover together with probability `level`.

    `influence` (n, G) is theirs by prompt. By the max-t of `simultaneous_estimates`.
    """
    summed = influence if over is None else over.sums(influence)
    return 1 - 2 * float(normal_tail(_critical_value(summed, rng, level, "both", draws)))


def _critical_value(
    influence: NDArray[np.float64], rng: np.random.Generator, level: float, side: Side, draws: int
) -> float:
    """What the largest of G studentised statistics stays below with probability `level`, were n infinite."""
    # Gaussian multipliers on the prompts make t normal with this correlation, so t is drawn, not they.
    t = rng.multivariate_normal(np.zeros(influence.shape[1]), correlations(influence), draws, method="eigh")
    largest = (np.abs(t) if side == "both" else t).max(axis=1)
    return float(np.quantile(largest, level))
