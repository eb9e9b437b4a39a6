"""Which slices of the prompts are weak?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from margin import figures
from margin.analysis.slice_differences import slice_differences
from margin.analysis.slices import MIN_PROMPTS, SliceMargins, slice_margins, slicing
from margin.errors import MarginError
from margin.figures.style import StyleName
from margin.stats.estimate import Estimate
from margin.study.canvas import Canvas
from margin.study.notation import number, with_interval
from margin.study.record import EstimateRecord, Record, records
from margin.study.section import Fact, PointSection
from margin.study.study import HEADLINE, PointStudy
from margin.study.table import Interval, Table, intervals, table
from margin.text import brief

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_DRAWN: dict[StyleName, int] = {"paper": 12, "talk": 5}
"""Slices of a column that are drawn, the weakest: more fill a page and hide them, or do not fit a slide."""


class SliceRecord(EstimateRecord):
    """Leave-prompt-out margin of one slice."""

    column: str
    slice: str
    ranked: bool
    """Whether it holds enough prompts to be compared with others."""
    worst: bool
    less_others: EstimateRecord | None = None
    """Its margin less the mean of the other ranked slices'; null where there is no other."""


class UnslicedRecord(Record):
    """A column of the prompts that is no slicing."""

    column: str
    why: str


class SlicesKeys(Record):
    slices: list[SliceRecord] = []
    unsliced: list[UnslicedRecord] = []
    """Columns of the prompts that are no slices, and why."""


def draw(study: PointStudy, canvas: Canvas) -> Figure:
    """Margin by slice, a panel a column."""
    found = study.section(Slices)
    drawn = {} if found is None else found.frames()
    if not drawn:
        raise MarginError(
            "no slices can be drawn: no column of the prompts has two to fifty values that prompts share"
        )
    most = MOST_DRAWN[canvas.style]
    heights = [figures.forest_height(min(most, len(lines))) for lines in drawn.values()]
    if canvas.style == "talk":  # as a slide is wide, and not high
        rows = (len(drawn) + 1) // 2
        fig = canvas.figure("double", slides=rows)
        panels = list(fig.subplots(rows, min(2, len(drawn)), squeeze=False).flat)
    else:
        fig = canvas.figure("single", sum(heights))
        panels = list(fig.subplots(len(heights), 1, squeeze=False, height_ratios=heights).flat)
    overall = study.headline.leave_prompt_out.estimate
    for ax, (column, lines) in zip(panels, drawn.items(), strict=False):
        title = f"Margin by {figures.text.label(column, 18)}"
        figures.slice_forest(lines, ax, overall=overall, most=most, title=title)
    for ax in panels[len(drawn) :]:
        ax.set_visible(False)
    return fig


@dataclass(frozen=True, eq=False)
class Slices(PointSection):
    """Margins by slice, one entry a column of the prompts."""

    keys = SlicesKeys
    figures = {"slices": draw}
    columns: tuple[SliceMargins, ...]
    differences: tuple[Mapping[str, Estimate], ...]
    """Margin of each ranked slice less the mean of the others, by slice; one entry a column, as `columns`."""
    unsliced: Mapping[str, str]
    """Columns of the prompts that are no slices, and why."""

    @classmethod
    def of(cls, study: PointStudy) -> Slices:
        """Margins by every column that slices the prompts."""
        columns, unsliced = slicing(study.labels)
        found = tuple(
            slice_margins(
                study.space,
                study.design,
                study.labels[column],
                study.settings.rng("slices", column),
                HEADLINE,
                study.settings.level,
            )
            for column in columns
        )
        differences = tuple(
            slice_differences(one, study.settings.rng("slice differences", one.column), study.settings.level)
            for one in found
        )
        return cls(found, differences, unsliced)

    def frames(self) -> dict[str, pd.DataFrame]:
        """Margin by slice, a table for each column that holds any."""
        return {found.column: found.to_frame() for found in self.columns if found.names}

    def record(self) -> SlicesKeys:
        """One line a slice, and one a column that is none."""
        return SlicesKeys(
            slices=[
                line.model_copy(update={"less_others": EstimateRecord.from_estimate(less[line.slice])})
                if line.slice in less
                else line
                for found, less in zip(self.columns, self.differences, strict=True)
                for line in records(SliceRecord, found.to_frame())
            ],
            unsliced=[UnslicedRecord(column=column, why=why) for column, why in self.unsliced.items()],
        )

    def tables(self) -> Iterator[Table]:
        """A table a column, and the columns that are none."""
        bounds = (
            f"Lower bounds hold for all slices of the column at once; slices of fewer than {MIN_PROMPTS} "
            "prompts have none and are not ranked."
        )
        beside = (
            " Less the others: minus the mean of the other ranked slices. These intervals hold at once, too: "
            "the lowest slice is weaker than the others where its interval lies below 0, else it is only the "
            "lowest."
        )
        for i, (column, lines) in enumerate(self.frames().items()):
            less = self._less_others(column)
            frame = lines[["slice", "n_prompts"]].assign(
                margin=intervals(lines),
                less_the_others=[
                    Interval(less[name].estimate, less[name].low, less[name].high) if name in less else None
                    for name in lines["slice"]
                ],
            )
            frame = frame.rename(columns={"n_prompts": "prompts"})
            yield table(
                f"slices-{i}", f"By {column}", bounds + (beside if less else ""), frame, drawn=["margin"]
            )
        frame = pd.DataFrame(list(self.unsliced.items()), columns=["column", "not sliced"])
        yield table("unsliced", "Columns that are no slices", "They stand beside the prompts.", frame)

    def facts(self) -> Iterator[Fact]:
        """The weakest slice of each column, and whether it is weaker than the others or only the lowest."""
        for found in self.columns:
            if found.worst is not None:
                lowest = found.margins[found.names.index(found.worst)]
                column, worst = brief(found.column), brief(found.worst)
                yield Fact(
                    f"weakest {column}",
                    worst,
                    with_interval(lowest.estimate, lowest.low, lowest.high),
                    f"weakest {column}: {worst} ({number(lowest.estimate)}, above {number(lowest.low)})"
                    f"{_beside_others(self._less_others(found.column).get(found.worst))}",
                )
        if self.unsliced:
            listed = ", ".join(f"{brief(column)} ({why})" for column, why in self.unsliced.items())
            yield Fact("not sliced", listed, card=False)

    def _less_others(self, column: str) -> Mapping[str, Estimate]:
        """Margins of a column's ranked slices less those of the others."""
        return self.differences[[found.column for found in self.columns].index(column)]


def _beside_others(less: Estimate | None) -> str:
    """What is known of the lowest slice beside the others; empty where there is no other."""
    if less is None or less.high is None:
        return ""
    if less.high < 0:
        by, least = (number(-value, signed=False) for value in (less.estimate, less.high))
        return f", below the others by {by}, at least {least}"
    return "; not shown to be below the others"
