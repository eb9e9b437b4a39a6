"""How far apart do the modes stand by measures other than the silhouette?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from margin.analysis.separation.table import separation
from margin.study.record import Number, Record, ScoreRecord, records
from margin.study.section import PointSection
from margin.study.study import PointStudy
from margin.study.table import Table, intervals, table


class MeasureRecord(ScoreRecord):
    """One separation measure over all modes, or between two."""

    measure: str
    modes: str
    """"all", or "a / b"."""
    p_value: Number
    unit: str
    space: str


class SeparationKeys(Record):
    separation: list[MeasureRecord]


@dataclass(frozen=True, eq=False)
class Separation(PointSection):
    """Separation measures over all modes and by pair."""

    keys = SeparationKeys
    lines: pd.DataFrame
    """One line a measure and comparison, as `margin.analysis.separation.separation` has them."""

    @classmethod
    def of(cls, study: PointStudy) -> Separation:
        """All measures of the headline space, and those of next-token distributions."""
        settings = study.settings
        return cls(
            separation(
                study.space,
                study.design,
                study.tokens,
                rng=settings.rng("separation"),
                optional=settings.optional,
                level=settings.level,
            )
        )

    def record(self) -> SeparationKeys:
        """One line a measure and comparison."""
        return SeparationKeys(separation=records(MeasureRecord, self.lines))

    def tables(self) -> Iterator[Table]:
        """One line a measure and comparison."""
        lines = self.lines
        frame = pd.DataFrame(
            {
                "measure": lines["measure"].str.replace("_", " "),
                "modes": lines["modes"],
                "estimate": intervals(lines, signed=False),
                "p_value": lines["p_value"],
                "unit": lines["unit"],
                "space": lines["space"],
                "method": lines["method"],
            }
        )
        note = (
            "Other measures of how far modes stand apart. Intervals of shares of the variance cover "
            "less than they say (.83 to .96 for .95) where all that varies lies along one direction or two."
        )
        yield table("separation", "Separation", note, frame)
