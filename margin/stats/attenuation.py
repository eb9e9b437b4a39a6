"""What measurement error takes away from a correlation, and the correlation without it.

Numbers measured on a sample of prompts hold an error, and errors hide an order: two numbers that go together
are seen to do so less (Spearman, 1904, "The proof and measurement of association between two things"). The
usual correction divides by the root of both reliabilities. Here these are of the *order*: how often would two
units stand in the same order, were they measured again? Each number is therefore given a second time with its
error added once more (Cook and Stefanski, 1994, "Simulation-extrapolation estimation in parametric
measurement error models"). What all units have in common of an error, as numbers of the same prompts do, then
moves no order, and what the two numbers have in common of it is taken off.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from margin.stats.rank_correlation import Float, order, over_pairs

LEAST = 0.2
"""Reliability below which a number is mostly error, and nothing can be said of what is behind it."""


@dataclass(frozen=True, eq=False)
class Measured:
    """One number of n units, and what it might have been had each been measured again."""

    values: Float
    """(n,)"""
    again: Float | None = None
    """(R, n) `values` with their measurement error drawn and added once more; None where it is not known.
    Draw r is of the same prompts for every number, so that errors in common are."""


@dataclass(frozen=True, eq=False)
class Reliability:
    """How much of the order of two numbers is theirs, as a function of the units' weights.

    On the scale of the correlation r = sin(pi tau / 2), which is Pearson's of two normal numbers that have
    the tau of Kendall (Kruskal, 1958, "Ordinal measures of association").
    """

    x: NDArray[np.float64]
    """(n, n) order of the first number times its mean order when measured again."""
    y: NDArray[np.float64]
    together: NDArray[np.float64]
    """(n, n) mean product of both orders when measured again together, less that when measured apart: what
    their errors have in common."""

    def of(self, weights: Float) -> tuple[Float, Float, Float]:
        """(K,) reliability of each number under sets of weights (n, K), and what errors in common add to r.

        A correlation c of a number with itself measured again is 1 / sqrt(1 + q), with q the variance of the
        error over that of what is seen; the reliability is 1 - q.
        """
        pairs = over_pairs(1 - np.eye(len(self.x)), weights)
        q_x, q_y = (_error(over_pairs(one, weights) / pairs) for one in (self.x, self.y))
        common = np.sin(np.pi / 2 * over_pairs(self.together, weights) / pairs)
        return 1 - q_x, 1 - q_y, common * np.sqrt((1 + q_x) * (1 + q_y))


def reliability(x: Measured, y: Measured) -> Reliability | None:
    """Of two numbers of the same n units; None where no error of either is known. O(R n^2)."""
    if x.again is None or y.again is None:
        return None
    A, B = _orders(x.again), _orders(y.again)
    R, n = x.again.shape
    flat_a, flat_b = A.reshape(R, -1), B.reshape(R, -1)
    joint = np.einsum("ri,ri->i", flat_a, flat_b, dtype=np.float32) / R
    apart = np.einsum("ri,ri->i", flat_a, np.roll(flat_b, 1, axis=0), dtype=np.float32) / R
    together = (joint - apart).astype(np.float64).reshape(n, n)
    return Reliability(_same(x.values, A), _same(y.values, B), together)


def _orders(again: Float) -> NDArray[np.float32]:
    return np.sign(again[:, :, None] - again[:, None, :]).astype(np.float32)


def _same(values: Float, again: NDArray[np.float32]) -> Float:
    """(n, n) mean product of an order with itself measured again; units that are tied and stay so agree."""
    A = order(values)
    tied = (A == 0) & (again == 0).all(axis=0)
    np.fill_diagonal(tied, False)
    found: Float = A * again.mean(axis=0) + tied
    return found


def _error(tau: Float) -> Float:
    """Variance of the error over that of what is seen, from a number's tau with itself measured again."""
    c = np.sin(np.pi / 2 * np.clip(tau, 1e-6, 1))
    found: Float = 1 / c**2 - 1
    return found
