"""Rank correlations of n weighted units, as functions of the weights: what jackknives differentiate.

Two numbers are in order, or not, pair by pair of units; both correlations are made of that alone. So they do
not ask for a straight line, and no single unit far out decides them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]


def order(values: Float) -> Float:
    """(n, n) sign of values[i] - values[j]: 1, 0 where they are tied, or -1."""
    found: Float = np.sign(values[:, None] - values[None, :])
    return found


def spearman(A: Float, B: Float, weights: Float) -> Float:
    """Spearman's correlation of two orders (n, n) under each set of weights (n, K): (K,); midranks for ties.

    NaN where one of the two is constant. Weights of 1 give the usual number. O(n^2 K).

    Example
    -------
    >>> x, y = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 3.0, 2.0, 4.0])
    >>> spearman(order(x), order(y), np.ones((4, 1))).round(3).tolist()
    [0.8]
    """
    W = weights / weights.sum(axis=0)
    X, Y = (each @ W for each in (A, B))  # weighted midranks, but for a constant
    X, Y = (each - (W * each).sum(axis=0) for each in (X, Y))
    return _ratio((W * X * Y).sum(axis=0), (W * X * X).sum(axis=0), (W * Y * Y).sum(axis=0))


def kendall(A: Float, B: Float, weights: Float) -> Float:
    """Kendall's tau-b of two orders (n, n) under each set of weights (n, K): (K,).

    NaN where one of the two is constant. Weights of 1 give the usual number. O(n^2 K).

    Example
    -------
    >>> x, y = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 3.0, 2.0, 4.0])
    >>> kendall(order(x), order(y), np.ones((4, 1))).round(3).tolist()
    [0.667]
    """
    return _ratio(*(over_pairs(each, weights) for each in (A * B, A * A, B * B)))


def over_pairs(values: Float, weights: Float) -> Float:
    """Weighted sums over pairs of units of values (n, n), under each set of weights (n, K): (K,)."""
    sums: Float = (weights * (values @ weights)).sum(axis=0)
    return sums


def _ratio(product: Float, first: Float, second: Float) -> Float:
    # Products of what is spread by rounding only are no spread.
    spread = np.sqrt(np.maximum(first, 0) * np.maximum(second, 0))
    found: Float = np.divide(product, spread, out=np.full_like(product, np.nan), where=spread > 1e-12)
    return found
