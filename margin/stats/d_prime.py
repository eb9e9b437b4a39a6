"""d' of two samples on a line: how many standard deviations their means stand apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class DPrime:
    """d' of two samples, and what it is made of."""

    shift: float
    """Mean of the first sample less that of the second."""
    spread: float
    """Pooled standard deviation within the two; N - 2 degrees of freedom."""
    deviation: NDArray[np.float64]
    """(N,) each value less the mean of its sample."""
    of_first: NDArray[np.bool_]
    """(N,) whether a value is of the first sample."""

    @property
    def value(self) -> float:
        """shift / spread; infinite or NaN where nothing is spread."""
        return self.shift / self.spread

    @property
    def influence(self) -> NDArray[np.float64]:
        """(N,) what each value does to d', the line held: dS / s - d' dV / (2 s^2), with V = s^2.

        Jaeckel (1972), "The infinitesimal jackknife".
        """
        n, size = len(self.deviation), np.where(self.of_first, self.of_first.sum(), (~self.of_first).sum())
        of_shift = np.where(self.of_first, 1, -1) * self.deviation / size
        of_variance = self.deviation**2 / (n - 2) - self.spread**2 / n
        found: NDArray[np.float64] = of_shift / self.spread - self.value * of_variance / (2 * self.spread**2)
        return found


def d_prime(y: NDArray[np.float64], of_first: NDArray[np.bool_]) -> DPrime:
    """d' of the values y (N,) of one sample against the others. Green and Swets (1966), "Signal Detection
    Theory and Psychophysics".

    Example
    -------
    >>> import numpy as np
    >>> found = d_prime(np.array([3.0, 5.0, 0.0, 2.0]), np.array([True, True, False, False]))
    >>> found.shift, round(found.value, 3)
    (3.0, 2.121)
    """
    means = y[of_first].mean(), y[~of_first].mean()
    deviation = y - np.where(of_first, *means)
    spread = float(np.sqrt(np.sum(deviation**2) / max(1, len(y) - 2)))
    return DPrime(float(means[0] - means[1]), spread, deviation, of_first)
