"""A variance that is the sum of several, each known with degrees of freedom of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def satterthwaite(parts: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Standard error of a sum of independent variances, and its degrees of freedom.

    Satterthwaite (1946), "An approximate distribution of estimates of variance components".

    parts : each variance with its degrees of freedom.

    Example
    -------
    >>> se, degrees = satterthwaite([(0.03, 4), (0.01, 9)])
    >>> round(se, 3), round(degrees, 2)
    (0.2, 6.78)
    """
    whole = sum(variance for variance, _ in parts)
    spread = sum(variance**2 / degrees for variance, degrees in parts)
    return float(np.sqrt(whole)), whole**2 / spread if spread > 0 else float(parts[0][1])
