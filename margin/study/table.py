"""Tables of the page: cells that sort as what they are, and intervals that are drawn beside their numbers."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from margin.short import Short
from margin.study.notation import interval, number
from margin.text import shown


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval, as one cell; an end is None or NaN where it is not known."""

    estimate: float
    low: float | None
    high: float | None
    signed: bool = True
    """Whether a plus sign is written: not before shares and the like."""
    count: tuple[int, int] | None = None
    """Prompts counted, and of how many: written in place of the share that they are."""
    mark: str = ""
    """Written behind the number, such as * for what is indicative only."""

    @property
    def ends(self) -> tuple[float, float]:
        """The interval, from or to the estimate itself where an end is not known."""
        known = [
            self.estimate if end is None or math.isnan(end) else float(end) for end in (self.low, self.high)
        ]
        return known[0], known[1]


UNEXPECTED = "✗"
"""What stands before a count that should be 0."""


@dataclass(frozen=True)
class Count:
    """Rows with one outcome, as one cell; drawn darker the more of the line's rows they are."""

    value: int
    of: int
    """Rows of the line."""
    unexpected: bool = False
    """Whether there should be none."""
    key: str | None = None
    """Names these rows, where a rendering may list them."""

    @property
    def flagged(self) -> bool:
        """Whether there are some that should not be."""
        return self.unexpected and self.value > 0


@dataclass(frozen=True)
class Mark:
    """An interval as a picture: places from the left, in percent of its width."""

    low: float
    estimate: float
    high: float
    zero: float


@dataclass(frozen=True)
class Cell:
    """One cell of a table."""

    text: str
    value: float | None
    """Number to sort by, None for text and for what is missing."""
    numeric: bool
    """Whether its column holds numbers."""
    mark: Mark | None = None
    """The picture of its interval, in columns that are drawn."""
    count: Count | None = None
    """What it counts, in a cell of a heat map."""


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    name: str
    numeric: bool


@dataclass(frozen=True)
class Table(Short):
    """A table that can be sorted by each of its columns."""

    key: str
    """Id of its section in the page."""
    title: str
    note: str
    columns: list[Column]
    rows: list[list[Cell]]
    drawn: bool = False
    """Whether intervals of some columns are drawn too, where a rendering can."""
    brief: int | None = None
    """Rows that a rendering without scrolling shows; None for all."""

    def to_frame(self) -> pd.DataFrame:
        """The table as text, as renderings show it."""
        return pd.DataFrame(
            [[cell.text for cell in row] for row in self.rows], columns=[c.name for c in self.columns]
        )


def table(
    key: str,
    title: str,
    note: str,
    frame: pd.DataFrame,
    drawn: Collection[str] = (),
    brief: int | None = None,
) -> Table:
    """A table of a data frame.

    Numbers are written to three decimals, what is missing as a dash; columns that hold nothing are left out.
    An `Interval` is one cell, and in the columns `drawn` also a picture, all on one scale that shows 0.
    """
    frame = frame.dropna(axis="columns", how="all")
    columns = {name: frame[name].tolist() for name in frame}
    numeric = {name: _numeric(frame[name]) for name in frame}
    scales = {name: _scale(columns[name]) for name in drawn if name in columns}
    cells = [
        [_cell(value, numeric[name], scales.get(name)) for value in values]
        for name, values in columns.items()
    ]
    return Table(
        key,
        shown(title),
        note,
        [Column(shown(name).replace("_", " "), numeric[name]) for name in columns],
        [list(row) for row in zip(*cells, strict=True)],
        bool(scales),
        brief,
    )


def intervals(frame: pd.DataFrame, *, signed: bool = True) -> list[Interval]:
    """The columns estimate, low and high of a frame as one."""
    return [
        Interval(float(estimate), low, high, signed)
        for estimate, low, high in zip(frame["estimate"], frame["low"], frame["high"], strict=True)
    ]


def _numeric(column: pd.Series) -> bool:
    if pd.api.types.is_bool_dtype(column):
        return False
    known = column.dropna()
    return pd.api.types.is_numeric_dtype(column) or all(
        isinstance(value, Interval | Count) for value in known
    )


def _scale(values: Iterable[Any]) -> tuple[float, float]:
    """The least and the largest number a column of intervals has to show, 0 among them."""
    shown_ends = [end for value in values if isinstance(value, Interval) for end in value.ends]
    return min([0.0, *shown_ends]), max([0.0, *shown_ends])


def _cell(value: Any, numeric: bool, scale: tuple[float, float] | None) -> Cell:
    if isinstance(value, Interval):
        if not math.isfinite(value.estimate):
            return Cell("–", None, numeric)
        text = _written(value)
        return Cell(
            text, _four_digits(value.estimate), numeric, None if scale is None else _mark(value, scale)
        )
    if isinstance(value, Count):
        text = f"{UNEXPECTED} {value.value}" if value.flagged else str(value.value)
        return Cell(text, value.value, numeric, count=value)
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return Cell("–", None, numeric)
    if not numeric:
        return Cell(shown(value), None, numeric)
    text = str(value) if isinstance(value, int) else number(value, signed=False)
    return Cell(text, _four_digits(value), numeric)


def _written(value: Interval) -> str:
    if value.count is not None:
        bounds = interval(value.low, value.high, signed=value.signed)
        return f"{value.count[0]} of {value.count[1]}{value.mark} {bounds}".rstrip(" –")
    estimate = number(value.estimate, signed=value.signed)
    return f"{estimate}{value.mark} {interval(value.low, value.high, signed=value.signed)}".rstrip(" –")


def _four_digits(value: float) -> float:
    """What a column is sorted by: as a reader sees it, for more digits help to find a token by trying."""
    return float(f"{value:.4g}")


def _mark(value: Interval, scale: Sequence[float]) -> Mark:
    least, largest = scale
    width = (largest - least) or 1.0
    # A marker at an end of the scale keeps its whole width inside the picture.
    low, middle, high, zero = (
        round(4 + 92 * (x - least) / width, 2) for x in (value.ends[0], value.estimate, value.ends[1], 0.0)
    )
    return Mark(low, middle, high, zero)
