"""Two fitted directions that can be used again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class LinearAxes:
    """An affine map to the plane: (x - mean) @ directions."""

    mean: NDArray[np.float64]
    """(d,) point that lands at the origin."""
    directions: NDArray[np.float64]
    """(d, 2), one column an axis."""

    def transform(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        """Coordinates (N, 2) of points X (N, d)."""
        return np.asarray((X - self.mean) @ self.directions)
