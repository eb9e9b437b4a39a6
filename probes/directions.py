"""Directions between two modes, how far apart the modes stand along them, and angles between directions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import linalg

from margin.arguments import require_level
from margin.probes import checks
from margin.probes.rows import FloatArray
from margin.stats.covariance import shrunken_covariance
from margin.stats.d_prime import d_prime
from margin.stats.design import Design
from margin.stats.estimate import Estimate
from margin.stats.folds import widening
from margin.stats.intervals import t_interval

Kind = Literal["mean_difference", "lda"]
Pair = tuple[str, str]
METHOD = "delta method, t over prompts"
FLAT = 1e-6
"""Spread along a direction, relative to the largest projection, that float32 rows may have by rounding."""


def directions(X: ArrayLike, rows: Design) -> dict[tuple[Kind, Pair], NDArray[np.float64]]:
    """Directions (d,) from the second mode of each pair to the first, by kind and pair.

    "mean_difference": between the modes' means, of length 1. "lda": that of linear discriminant analysis with
    the covariance within all modes shrunken by Ledoit and Wolf, scaled to a standard deviation of 1 within
    modes. All 0 where two means are the same. O(N d^2 + d^3). MarginError for X (N, d) as `cross_fit`.

    Example
    -------
    >>> import numpy as np
    >>> from margin.probes import make_rows
    >>> rng = np.random.default_rng(0)
    >>> modes, prompts = ["neg", "pos"] * 30, np.repeat(range(30), 2)
    >>> X = rng.normal(size=(60, 4)) + np.tile([[0.0], [2.0]], (30, 4))
    >>> found = directions(X, make_rows(modes, prompts))
    >>> found["mean_difference", ("neg", "pos")].round(1).tolist()  # from pos to neg
    [-0.4, -0.5, -0.6, -0.5]
    """
    means, inverse = _fit(checks.states(X, rows), rows)
    found: dict[tuple[Kind, Pair], NDArray[np.float64]] = {}
    for (a, mode_a), (b, mode_b) in combinations(enumerate(rows.modes), 2):
        shift = means[a] - means[b]
        whitened = inverse(shift)
        found["mean_difference", (mode_a, mode_b)] = _scaled(shift, float(np.linalg.norm(shift)))
        found["lda", (mode_a, mode_b)] = _scaled(whitened, float(np.sqrt(max(0.0, shift @ whitened))))
    return found


def d_primes(
    X: ArrayLike, rows: Design, fold: ArrayLike, level: float = 0.95
) -> dict[tuple[Kind, Pair], Estimate]:
    """Cross-fitted d' of each pair of modes along each kind of direction.

    Every row is projected on the direction of the other folds, from the midpoint of their two means; d' is
    the difference of the two modes' mean projections over their pooled standard deviation. 0 on average
    without a difference (in sample it is large where dimensions are many), no unit. Green and Swets (1966),
    "Signal Detection Theory and Psychophysics". The interval is for these directions on new prompts, by the
    delta method and Student's t, wider by `margin.stats.folds.widening`. NaN where two modes differ but do
    not vary along their direction. O(N d^2 + d^3) a fold. MarginError as `cross_fit`.

    Example
    -------
    >>> import numpy as np
    >>> from margin.probes import grouped_folds, make_rows
    >>> rng = np.random.default_rng(0)
    >>> modes, prompts = ["neg", "pos"] * 30, np.repeat(range(30), 2)
    >>> X = rng.normal(size=(60, 4)) + np.tile([[0.0], [2.0]], (30, 4))
    >>> rows = make_rows(modes, prompts)
    >>> found = d_primes(X, rows, grouped_folds(rows))  # the modes' means lie 4 standard deviations apart
    >>> print(found["mean_difference", ("neg", "pos")])
    3.031 [1.908, 4.154]
    """
    require_level(level)
    X, fold = checks.states(X, rows), checks.folds(fold, rows)
    projected: dict[tuple[Kind, Pair], NDArray[np.float64]] = {}
    for f in range(int(fold.max()) + 1):
        held_out = fold == f
        training = rows.part(~held_out)
        means = _means(X[~held_out], training)
        for key, direction in directions(X[~held_out], training).items():
            a, b = (rows.modes.index(mode) for mode in key[1])
            values = projected.setdefault(key, np.empty(rows.n_points))
            values[held_out] = (X[held_out] - (means[a] + means[b]) / 2) @ direction
    return {
        (kind, pair): _d_prime(values, rows, [rows.modes.index(mode) for mode in pair], fold, level)
        for (kind, pair), values in projected.items()
    }


def cosines(found: Mapping[tuple[Kind, Pair], NDArray[np.float64]]) -> pd.DataFrame:
    """Cosine between every two directions: first, second, cosine, in [-1, 1]; NaN for a direction of 0.

    Descriptive, without an interval: sampling noise turns directions, so their cosines come out nearer to 0
    than those of the population. The angle is that of the space of X as it stands, which for "lda"
    directions depends on how features are scaled.

    Example
    -------
    >>> import numpy as np
    >>> found = {
    ...     ("mean_difference", ("neg", "pos")): np.array([1.0, 0.0]),
    ...     ("mean_difference", ("neg", "rej")): np.array([0.6, 0.8]),
    ... }
    >>> cosines(found)
                           first                     second  cosine
    0  mean_difference neg / pos  mean_difference neg / rej     0.6
    """
    lines = []
    for (key_a, a), (key_b, b) in combinations(found.items(), 2):
        lengths = np.linalg.norm(a) * np.linalg.norm(b)
        cosine = float(a @ b / lengths) if lengths > 0 else np.nan
        lines.append({"first": _name(*key_a), "second": _name(*key_b), "cosine": cosine})
    return pd.DataFrame(lines, columns=["first", "second", "cosine"])


def _name(kind: Kind, pair: Pair) -> str:
    return f"{kind} {pair[0]} / {pair[1]}"


def _scaled(direction: NDArray[np.float64], length: float) -> NDArray[np.float64]:
    return direction / length if length > 0 else np.zeros_like(direction)


def _means(X: FloatArray, rows: Design) -> NDArray[np.float64]:
    return np.array([X[rows.mode == mode].mean(axis=0, dtype=np.float64) for mode in range(rows.n_modes)])


def _fit(
    X: FloatArray, rows: Design
) -> tuple[NDArray[np.float64], Callable[[NDArray[np.float64]], NDArray[np.float64]]]:
    """Means (k, d) of the modes, and the product with the inverse covariance within them."""
    means = _means(X, rows)
    factor = linalg.cho_factor(shrunken_covariance(X - means[rows.mode]), lower=True)
    return means, lambda shift: linalg.cho_solve(factor, shift)


def _d_prime(
    y: NDArray[np.float64], rows: Design, pair: list[int], fold: NDArray[np.intp], level: float
) -> Estimate:
    of_pair = np.isin(rows.mode, pair)
    y, rows = y[of_pair], rows.part(of_pair)
    found = d_prime(y, rows.mode == pair[0])
    if found.spread <= FLAT * np.abs(y).max(initial=0):
        if abs(found.shift) <= FLAT:
            return Estimate(0.0, n_prompts=rows.n_prompts)
        return Estimate(np.nan, method="undefined: no spread along the direction", n_prompts=rows.n_prompts)
    of_prompts = np.bincount(rows.prompt, weights=found.influence, minlength=rows.n_prompts)
    influence = of_prompts.astype(np.float64)
    return t_interval(found.value, influence * widening(fold), level, METHOD, over=rows.clusters)
