"""How many rows of each stratum to draw for an audit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Int = NDArray[np.intp]

LEAST = 2
"""Rows of each stratum that are drawn at least, where it has them."""


def allocate(sizes: Int, condition: Int, total: int) -> Int:
    """How many rows to draw of each of S strata: (S,), `total` in all, or all rows where there are fewer.

    `LEAST` of each first. Then conditions get alike, and within a condition strata get by the square root of
    their size (Bankier, 1988, "Power allocations"): between a sample by size, which tells least of the label
    that a judge seldom gives, and equal parts.

    Parameters
    ----------
    sizes : (S,) rows of each stratum, at least 1.
    condition : (S,) index of the condition of each stratum, 0 to C-1.

    Raises
    ------
    ValueError : fewer in all than `LEAST` of each stratum.

    Example
    -------
    >>> allocate(np.array([100, 4, 64, 40]), np.array([0, 0, 1, 1]), 30).tolist()
    [12, 3, 8, 7]
    """
    drawn = np.minimum(sizes, LEAST)
    if total < drawn.sum():
        raise ValueError(f"{len(sizes)} strata need {drawn.sum()} rows")
    for _ in range(min(total, int(sizes.sum())) - int(drawn.sum())):
        left = drawn < sizes
        of_condition = np.bincount(condition, drawn)
        poorest = of_condition[condition] == of_condition[condition[left]].min()
        drawn[np.argmax(np.where(left & poorest, np.sqrt(sizes) / drawn, -1.0))] += 1
    return drawn
