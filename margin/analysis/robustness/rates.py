"""Rates of landing, corrected for how points of known mode land."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def corrected_rates(observed: NDArray[np.float64], confusion: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rates (k + 1,) at which points truly belong to each mode or, last, to none.

    What is observed is a mixture of what points of each mode look like; the mixture that comes closest is
    taken (least squares, no rate below 0), points of no mode being seen as outside. Rogan and Gladen (1978),
    "Estimating prevalence from the results of a screening test", for more than two classes.

    Parameters
    ----------
    observed : (k + 1,) rates of landing in each mode and outside, summing to 1.
    confusion : (k, k + 1) the same rates for points of each known mode.
    """
    from scipy.optimize import nnls  # slow to import, and only control conditions want it

    k = len(confusion)
    looks = np.vstack([confusion, np.eye(k + 1)[k]])
    rates, _ = nnls(looks.T, observed)
    shares: NDArray[np.float64] = rates / rates.sum()
    return shares
