"""How large is the margin within slices, where prompts do not differ in what the slices do?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from margin.analysis.slices import slicing
from margin.analysis.strata import StratifiedMargin, stratified_margin
from margin.errors import MarginError
from margin.study.notation import interval, number
from margin.study.record import Count, EstimateRecord, Number, Record, Text
from margin.study.section import Fact, PointSection
from margin.study.study import HEADLINE, PointStudy
from margin.study.table import Interval, Table, table

FAR = 0.1
"""Difference of the margin within slices from the pooled one from which on it is worth a word."""


class StratumRecord(EstimateRecord):
    """Leave-prompt-out margin within the slices of a column, or within one of them."""

    column: str
    slice: Text
    """None over all slices, by their shares of the prompts."""
    quantity: Literal["within", "slice"]
    pooled: Number
    """The margin whose neighbours are all prompts, over all slices."""
    plain: Number
    """The same of plain silhouettes, over all slices."""
    between_share: Number
    """Share of the prompts' variance that lies between slices."""
    left_out: Count
    """Prompts of slices too small, or without a value."""


class StrataKeys(Record):
    strata: list[StratumRecord] = []
    """Margins within slices, beside the pooled one."""


@dataclass(frozen=True, eq=False)
class Strata(PointSection):
    """The margin within the slices of each column."""

    keys = StrataKeys
    columns: tuple[StratifiedMargin, ...]
    pooled: float

    @classmethod
    def of(cls, study: PointStudy) -> Strata | None:
        """None where no column slices the prompts."""
        found = []
        for column in slicing(study.labels)[0]:
            try:
                found.append(
                    stratified_margin(
                        study.space, study.design, study.labels[column], HEADLINE, study.settings.level
                    )
                )
            except MarginError:  # slices too small for a margin each
                continue
        return cls(tuple(found), study.headline.leave_prompt_out.estimate) if found else None

    def record(self) -> StrataKeys:
        """A line a column, then one a slice."""
        lines = []
        for found in self.columns:
            about = {"column": found.column, "pooled": self.pooled}
            whole = {"plain": found.plain, "between_share": found.between_share, "left_out": found.left_out}
            lines.append(
                StratumRecord.from_estimate(found.within, quantity="within", slice=None, **about, **whole)
            )
            none = dict.fromkeys(whole)
            lines += [
                StratumRecord.from_estimate(margin, quantity="slice", slice=name, **about, **none)
                for name, margin in zip(found.names, found.slices, strict=True)
            ]
        return StrataKeys(strata=lines)

    def tables(self) -> Iterator[Table]:
        """One line a column, and one a slice."""
        lines = [
            {
                "column": found.column,
                "within slices": Interval(found.within.estimate, found.within.low, found.within.high),
                "pooled": self.pooled,
                "prompts' variance between slices": max(found.between_share, 0.0),
                "left out": found.left_out,
            }
            for found in self.columns
        ]
        note = (
            "Within: points are compared with points of their own slice only, then averaged over slices: how "
            "far the modes stand apart for prompts of one kind. Pooled: with all points, so that what the "
            "prompts differ in counts too."
        )
        yield table("strata", "Within slices", note, pd.DataFrame(lines), drawn=["within slices"])
        lines = [
            {
                "column": found.column,
                "slice": name,
                "prompts": margin.n_prompts,
                "margin": Interval(margin.estimate, margin.low, margin.high),
            }
            for found in self.columns
            for name, margin in zip(found.names, found.slices, strict=True)
        ]
        note = "Each slice by itself, as if no other prompts were there; each interval by itself."
        yield table(
            "strata-slices", "Margins of slices by themselves", note, pd.DataFrame(lines), drawn=["margin"]
        )

    def facts(self) -> Iterator[Fact]:
        """Columns whose slices make the pooled margin look unlike that within."""
        for found in self.columns:
            within = found.within
            if abs(within.estimate - self.pooled) >= FAR:
                bounds = interval(within.low, within.high)
                yield Fact(
                    f"margin within {found.column}",
                    number(within.estimate),
                    f"{bounds}, pooled {number(self.pooled)}",
                    f"for prompts of one {found.column} the margin is {number(within.estimate)} {bounds}, "
                    f"{number(self.pooled)} over all",
                    card=False,
                )
