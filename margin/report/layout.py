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
SHEET = 100
"""Characters of a line of an upright sheet; what is wider is printed across."""
FEW = 3
"""Columns that fit a phone side by side."""
PHONE = 44
"""Characters that fit a phone."""
LONG = 40
"""Rows up to which a table is shown whole, printed whole, and needs no filter."""
GAP = 3
"""Characters between columns."""
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
    columns = [[row[place] for row in table.rows] for place in range(len(table.columns))]
    kinds: list[Kind] = []
    line = 0
    for column, cells in zip(table.columns, columns, strict=True):
        widest = max((cell_len(cell.text) for cell in cells), default=0)
        kinds.append("number" if column.numeric else "text" if widest > SHORT else "short")
        head = max((cell_len(word) for word in column.name.split()), default=0)
        drawn = DRAWN if any(cell.mark for cell in cells) else 0
        line += max(min(widest, WIDEST), head) + GAP + drawn
    many = len(kinds) > FEW
    kept = int(many and kinds[1] == "text")
    return Layout(tuple(kinds), kept, line > SHEET, many or line > PHONE, len(table.rows) > LONG)
