"""Quantiles and tails of the distributions that intervals are made of.

From `scipy.special`, the functions that `scipy.stats` calls itself: to import that takes longer than to check
a run.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

Values = NDArray[np.float64]
Numbers = float | NDArray[np.floating] | NDArray[np.integer]


def t_quantile(p: Numbers, degrees: Numbers) -> Values:
    """What Student's t stays below with probability `p`."""
    return _values(special.stdtrit(degrees, p))


def t_tail(x: Numbers, degrees: Numbers) -> Values:
    """Probability that Student's t exceeds `x`."""
    return _values(special.stdtr(degrees, -np.asarray(x)))


def noncentral_t_tail(x: Numbers, degrees: Numbers, noncentrality: Numbers) -> Values:
    """Probability that the noncentral t exceeds `x`: the power of a t test."""
    below = _values(special.nctdtr(degrees, noncentrality, x))
    if np.isfinite(below).all():
        return 1 - below
    from scipy import stats  # slow to import; it knows what lies beyond the noncentralities of `special`

    return _values(stats.nct.sf(x, degrees, noncentrality))


def normal_quantile(p: Numbers) -> Values:
    """What the standard normal stays below with probability `p`."""
    return _values(special.ndtri(p))


def normal_tail(x: Numbers) -> Values:
    """Probability that the standard normal exceeds `x`."""
    return _values(special.ndtr(-np.asarray(x)))


def beta_quantile(p: Numbers, a: Numbers, b: Numbers) -> Values:
    """What a beta variable stays below with probability `p`."""
    return _values(special.betaincinv(a, b, p))


def beta_below(x: Numbers, a: Numbers, b: Numbers) -> Values:
    """Probability that a beta variable is at most `x`."""
    return _values(special.betainc(a, b, x))


def binomial_below(k: Numbers, n: Numbers, p: Numbers) -> Values:
    """Probability of at most `k` successes, a whole number, in `n` trials."""
    return np.where(np.asarray(k) < 0, 0.0, _values(special.bdtr(k, n, p)))


def binomial_quantile(q: Numbers, n: Numbers, p: Numbers) -> Values:
    """The least number of successes in `n` trials that is not exceeded with probability `q` or more."""
    near = np.ceil(_values(special.bdtrik(q, n, p)))  # a root, which may round to the next whole number
    return np.where(binomial_below(near - 1, n, p) >= q * (1 - 1e-14), near - 1, near)


def _values(found: Any) -> Values:
    return np.asarray(found, dtype=np.float64)
