"""How a table lies on the page: which columns wrap, which one stays in sight, what fits a sheet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len

from margin.study.table import Table

Kind = Literal["number", "text", "short"]
"""Numbers and short words keep to one line; text wraps in a column that is wide enough for it."""

SHORT = 40
"""Characters, of a Latin letter's width, up to which a column's text keeps to one line."""
WIDEST = 44
"""Characters that a column of text is given at most."""
SHEET = 118
"""Characters of a line of an upright sheet; what is wider is printed across."""
FEW = 3
"""Columns that fit a phone side by side."""
LONG = 40
"""Rows up to which a table is shown whole, printed whole, and needs no filter."""
DRAWN = 18
"""Characters of the picture of an interval."""


@dataclass(frozen=True)
class Layout:
    """How one table lies on the page."""

    kinds: tuple[Kind, ...]
    """Of each column."""
    kept: int
    """Column that stays in sight when the table is scrolled sideways."""
    across: bool
    """Whether it needs a sheet on its side."""
    cards: bool
    """Whether each row is a card on a phone."""
    long: bool
    """Whether it scrolls, can be filtered, and is printed in part."""


def layout_of(table: Table) -> Layout:
    """The layout of a table, by what its cells hold."""
    widths = [
        max((cell_len(row[i].text) for row in table.rows), default=0) for i in range(len(table.columns))
    ]
    kinds: tuple[Kind, ...] = tuple(
        "number" if column.numeric else "text" if width > SHORT else "short"
        for column, width in zip(table.columns, widths, strict=True)
    )
    drawn = [any(row[i].mark for row in table.rows) for i in range(len(table.columns))]
    total = sum(
        min(width, WIDEST) + 3 + DRAWN * is_drawn for width, is_drawn in zip(widths, drawn, strict=True)
    )
    second_is_text = len(kinds) > 1 and kinds[1] == "text" and kinds[0] == "short"
    return Layout(kinds, int(second_is_text), total > SHEET, len(kinds) > FEW, len(table.rows) > LONG)
