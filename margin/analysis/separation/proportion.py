"""Interval for a share of successes that come in clusters (the points of a prompt)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from margin.analysis.estimate import Estimate
from probes.intervals import PROPORTION as METHOD
from probes.intervals import proportion


def proportion_estimate(
    value: float, influence: NDArray[np.float64], level: float = 0.95, method: str = METHOD
) -> Estimate:
    """Interval of a proportion in [0, 1] from the influences (n,) of the prompts, as `probes.intervals`."""
    found = proportion(value, influence, level)
    return Estimate(value, found.low, found.high, found.se, level, method, found.n_prompts)
