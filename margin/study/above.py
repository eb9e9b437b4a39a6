"""A number above decoys as a report has it: its record, and its cells in a table."""

from __future__ import annotations

from typing import Annotated, Any, Self

import numpy as np
from pydantic import Field

from margin.analysis.decoys import AboveDecoys
from margin.study.record import Number, ScoreRecord
from margin.study.table import Interval


class AboveRecord(ScoreRecord):
    """One number of the live tokens beside those of the decoy sets; `estimate` is live less their mean."""

    live: Number
    """On the prompts that decoys were asked of."""
    decoys: list[Number]
    """The number of each set."""
    sets: Annotated[int, Field(ge=1)]
    rank_p: Annotated[float, Field(gt=0, le=1)]
    """(1 + sets at least as far apart) / (sets + 1)."""

    @classmethod
    def from_above(cls, one: AboveDecoys, **about: Any) -> Self:
        """The record of a number above decoys, and what else it says."""
        sets = {"live": one.live, "decoys": list(one.decoys), "sets": len(one.decoys), "rank_p": one.rank_p}
        return cls.from_estimate(one.above, **about, **sets)


def cells(one: AboveDecoys | AboveRecord) -> dict[str, object]:
    """What a table shows of it, by the names of its columns."""
    value = one.above if isinstance(one, AboveDecoys) else one
    estimate = np.nan if value.estimate is None else value.estimate
    sets = np.array(one.decoys, dtype=np.float64)
    return {
        "live": one.live,
        "decoys": float(sets.mean()),
        "least": float(sets.min()),
        "largest": float(sets.max()),
        "above decoys": Interval(estimate, value.low, value.high),
        "rank p": one.rank_p,
    }
