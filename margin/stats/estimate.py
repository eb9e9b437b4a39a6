"""The triple every reported number travels as."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from html import escape

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from margin.short import Short


@dataclass(frozen=True)
class Estimate(Short):
    """A number with its interval.

    `low`, `high` and `se` are None where no valid interval is known; then the number is descriptive only.

    Example
    -------
    >>> print(Estimate(0.131, low=0.118, high=0.144, level=0.95, n_prompts=360))
    0.131 [0.118, 0.144]
    >>> print(Estimate(0.131))
    0.131
    """

    estimate: float
    """Point estimate, in the unit of the quantity measured."""
    low: float | None = None
    """Lower end of the interval."""
    high: float | None = None
    """Upper end of the interval."""
    se: float | None = None
    """Standard error, the prompt being the unit of sampling."""
    level: float | None = None
    """Nominal coverage of (low, high), 0 to 1."""
    method: str = "none"
    """How the interval was made, for example "infinitesimal jackknife, t"; "none" without one."""
    n_prompts: int = 0
    """Prompts the number rests on."""
    n_clusters: int | None = None
    """Clusters these prompts come in, which the interval is over; None where prompts are independent."""
    influence: NDArray[np.float64] | None = field(default=None, repr=False, compare=False)
    """(n,) influence of each prompt, where it is known: what differences from other numbers of the same
    prompts are paired by. No part of records and tables."""

    def to_dict(self) -> dict[str, float | int | str | None]:
        """Plain record; `n_clusters` only where prompts come in clusters."""
        names = [each.name for each in fields(self) if each.name != "influence"]
        record = {name: getattr(self, name) for name in names}
        if self.n_clusters is None:
            del record["n_clusters"]
        return record

    def to_frame(self) -> pd.DataFrame:
        """One-row table with the fields as columns."""
        return pd.DataFrame([self.to_dict()])

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        n = f", {self.n_prompts:,} prompts" if self.n_prompts else ""
        n += f" in {self.n_clusters:,} clusters" if self.n_clusters is not None else ""
        level = f"{self.level:.0%} " if self.level is not None else ""
        return f"<strong>{self}</strong> <small>{level}{escape(self.method)}{n}</small>"

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.estimate:.3f}"
        return f"{self.estimate:.3f} [{self.low:.3f}, {self.high:.3f}]"
