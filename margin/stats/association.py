"""Do two numbers of checkpoints go together? Rank correlations with intervals over independent trainings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from margin.errors import MarginError
from margin.short import Short
from margin.stats.attenuation import LEAST, Measured, reliability
from margin.stats.clusters import Clusters
from margin.stats.estimate import Estimate
from margin.stats.rank_correlation import Float, kendall, order, spearman

METHOD = "infinitesimal jackknife over trainings, t on Fisher's z"
CORRECTED = f"{METHOD}, corrected for measurement error"
PARTIAL = f"{METHOD}, step held"
FEWEST = 5
"""Trainings below which an interval would rest on nothing, and checkpoints below which there is no order."""
STEP = 1e-4
"""By how much weights are changed for a derivative; its square is the error."""


@dataclass(frozen=True, eq=False)
class Association(Short):
    """How two numbers of n checkpoints go together. `n_prompts` of each estimate counts checkpoints, and
    `n_clusters` trainings."""

    spearman: Estimate
    """With `influence` (n,) of each checkpoint on it."""
    kendall: Estimate
    """Tau-b."""
    corrected: Estimate
    """Spearman's of what is behind the two numbers, without their measurement error; NaN where that is not
    known, or as large as what checkpoints differ by."""
    partial: Estimate | None
    """Spearman's with the step of training held; None where steps are not known."""
    p_value: float
    """Of no correlation, by the interval of Spearman's; NaN without one."""
    reliability: tuple[float, float] | None
    """Share of each number's spread, as an order, that is no measurement error; None where that is not
    known."""


def associate(
    x: Measured,
    y: Measured,
    over: Clusters,
    level: float = 0.95,
    step: Float | None = None,
) -> Association:
    """Rank correlations of two numbers of n checkpoints.

    Parameters
    ----------
    x, y : the numbers, finite, with what they might have been if measured again.
    over : which checkpoints are of one training: these resemble each other, so trainings are the independent
        units. Where each is of its own, as many clusters as checkpoints.
    step : (n,) when in its training each was saved, or anything else that both numbers may follow.

    Influences are taken by trainings, with Student's t on Fisher's z; the interval of what is corrected is
    carried over from the scale of what is seen.

    Raises
    ------
    MarginError : fewer than five checkpoints. With fewer than five trainings there is no interval, and of a
        number that is the same everywhere no correlation: the method says so.

    Cost: O(n^2 G), and O(R n^2) for the correction.

    Example
    -------
    >>> from margin.stats.clusters import make_clusters
    >>> x = np.arange(12.0)
    >>> y = x + np.array([0, 3, -2, 0, 1, -4, 2, 0, 5, -1, 0, -3])
    >>> found = associate(Measured(x), Measured(y), make_clusters(list("aabbccddeeff")))
    >>> print(round(found.spearman.estimate, 3), found.spearman.n_clusters)
    0.832 6
    """
    n = len(x.values)
    if n < FEWEST:
        raise MarginError(f"{n} checkpoints have no order to speak of: name {FEWEST} at least")
    A, B = order(x.values), order(y.values)
    if not (A.any() and B.any()):
        nothing = _none(np.nan, n, over, "none: one of the two is the same in every checkpoint")
        return Association(nothing, nothing, nothing, None if step is None else nothing, np.nan, None)
    rank, rank_p = _estimate(lambda w: spearman(A, B, w), n, over, level)
    tau, _ = _estimate(lambda w: kendall(A, B, w), n, over, level)
    corrected, shares = _corrected(x, y, A, B, over, level)
    partial = None if step is None else _partial(A, B, step, over, level)
    return Association(rank, tau, corrected, partial, rank_p, shares)


def t_on_z(
    value: float,
    influence: Float,
    over: Clusters,
    level: float = 0.95,
    method: str = METHOD,
    held: int = 0,
) -> tuple[Estimate, float]:
    """Interval of a correlation from the influences (n,) of checkpoints, and the p-value of 0.

    Degrees of freedom are one fewer than the effective trainings, n^2 / sum n_g^2, which are all of them
    where they are of one size (Carter, Schnepel and Steigerwald, 2017, "Asymptotic behavior of a t-test
    robust to cluster heterogeneity"). `held` is how many numbers are held: each costs one. Of a perfect order
    influences tell nothing; it has the variance of as many independent pairs (Bonett and Wright, 2000,
    "Sample size requirements for estimating Pearson, Kendall and Spearman correlations").
    """
    n, G = len(influence), len(over)
    degrees = over.effective - 1 - held
    if G < FEWEST or degrees < 1 or n < FEWEST:
        return _none(value, n, over, f"none: fewer than {FEWEST} trainings"), np.nan
    most = _most(n)
    z = float(np.arctanh(np.clip(value, -most, most)))
    U = over.sums(influence) / (1 - min(abs(value), most) ** 2)
    variance = G / (G - 1) * float(U @ U)
    if abs(value) >= most:
        variance = max(variance, (1 + value**2 / 2) / max(n - 3, 1))
    se = np.sqrt(variance)
    half = float(stats.t.ppf((1 + level) / 2, degrees)) * se
    low, high = float(np.tanh(z - half)), float(np.tanh(z + half))
    p = float(2 * stats.t.sf(abs(z) / se, degrees)) if se > 0 else float(z == 0)
    of_value = float(se * (1 - value**2))
    return Estimate(value, low, high, of_value, level, method, n, len(over), influence), p


def _estimate(f: Callable[[Float], Float], n: int, over: Clusters, level: float) -> tuple[Estimate, float]:
    return t_on_z(float(f(np.ones((n, 1)))[0]), _influence(f, n), over, level)


def _influence(f: Callable[[Float], Float], n: int) -> Float:
    """(n,) derivative of a function of weights (n, K) by each unit's weight, all of them being 1."""
    change = STEP * np.eye(n)
    found: Float = (f(1 + change) - f(1 - change)) / (2 * STEP)
    return found


def _corrected(
    x: Measured, y: Measured, A: Float, B: Float, over: Clusters, level: float
) -> tuple[Estimate, tuple[float, float] | None]:
    """Spearman's without measurement error, and the two reliabilities."""
    n = len(x.values)
    known = reliability(x, y)
    if known is None:
        return _none(np.nan, n, over, "none: the measurement error is not known"), None

    def without_error(weights: Float) -> Float:
        of_x, of_y, common = known.of(weights)
        scale = np.sqrt(np.maximum(of_x, LEAST) * np.maximum(of_y, LEAST))
        found: Float = (_normal(spearman(A, B, weights)) - common) / scale
        return found

    one = np.ones((n, 1))
    of_x, of_y = (float(each[0]) for each in known.of(one)[:2])
    shares = (of_x, of_y)
    if min(shares) < LEAST:
        return _none(np.nan, n, over, "none: the measurement error is as large as the differences"), shares
    # On the scale of what is seen, where Fisher's z holds; the bounds are carried back.
    scale = np.sqrt(of_x * of_y)
    value = float(without_error(one)[0])
    seen = _spearman_of(value * scale)
    slope = (_spearman_of(value * scale + STEP) - _spearman_of(value * scale - STEP)) / (2 * STEP)
    found, _ = t_on_z(seen, slope * scale * _influence(without_error, n), over, level, CORRECTED)
    if found.low is None or found.high is None:
        return _none(_spearman_of(value), n, over, found.method), shares
    low, high = (_spearman_of(float(_normal(end)) / scale) for end in (found.low, found.high))
    return Estimate(_spearman_of(value), low, high, None, level, CORRECTED, n, len(over)), shares


def _partial(A: Float, B: Float, step: Float, over: Clusters, level: float) -> Estimate:
    """Spearman's with the step held: of what ranks have beyond their rank correlations with the step."""
    C = order(step)
    n = len(step)
    if not C.any():
        return _none(np.nan, n, over, "none: every checkpoint is of the same step")

    def beyond_step(weights: Float) -> Float:
        r, x, y = (spearman(one, two, weights) for one, two in ((A, B), (A, C), (B, C)))
        spread = (1 - x**2) * (1 - y**2)
        return np.divide(r - x * y, np.sqrt(np.maximum(spread, 0)), where=spread > 1e-12, out=0 * r)

    value = float(beyond_step(np.ones((n, 1)))[0])
    return t_on_z(value, _influence(beyond_step, n), over, level, PARTIAL, held=1)[0]


def _most(n: int) -> float:
    """The largest correlation short of a perfect one: half way to that of one pair out of order."""
    return 1 - 6 / (n * (n**2 - 1))


def _normal(r: Float | float) -> Float:
    """Pearson's correlation of normal numbers that have this one of Spearman's."""
    found: Float = 2 * np.sin(np.pi / 6 * np.asarray(r))
    return found


def _spearman_of(r: float) -> float:
    """Spearman's correlation of normal numbers that have this one of Pearson's, at most 1."""
    return float(6 / np.pi * np.arcsin(np.clip(r, -1, 1) / 2))


def _none(value: float, n: int, over: Clusters, why: str) -> Estimate:
    """A number without an interval, and why it has none."""
    return Estimate(value, method=why, n_prompts=n, n_clusters=len(over))
