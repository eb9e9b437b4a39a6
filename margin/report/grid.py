"""Tables in a terminal: as wide as there is room for, and nothing cut off.

Where a table is too wide, text is wrapped first, then intervals go below their numbers, and at last each row
becomes a paragraph of its own. No number, no bound and no verdict is ever shortened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table as Columns
from rich.text import Text

GAP = 2
"""Spaces between columns."""
LEAST = 24
"""Width of a column of longer text, and of a word in a head, at least."""
Measure = Callable[[str], int]
"""Width that a text needs."""
MISSING = ("", "–")
"""Cells that a paragraph leaves out."""


@dataclass
class Grid:
    """Rows below named columns, of which those of numbers are set on the right.

    Example
    -------
    >>> from rich.console import Console
    >>> grid = Grid([("run", False), ("margin", True)])
    >>> grid.add("a", "+0.231 [+0.211, +0.251]")
    >>> Console(width=21).print(grid)
    run            margin
    a              +0.231
         [+0.211, +0.251]
    """

    columns: Sequence[tuple[str, bool]]
    """Name of each column, and whether it holds numbers."""
    rows: list[tuple[list[Text], str]] = field(default_factory=list)
    """Cells of each row, and its style."""

    def add(self, *cells: str | Text, style: str = "") -> None:
        """Add a row."""
        self.rows.append(([Text(cell) if isinstance(cell, str) else cell for cell in cells], style))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table, or its rows as paragraphs where it is too wide."""
        widths = self._widths(options.max_width - GAP * (len(self.columns) - 1))
        if widths is not None:
            yield self._table(widths)
            return
        for cells, style in self.rows:
            yield from self._paragraph(cells, style, options.max_width)

    def _widths(self, room: int) -> list[int] | None:
        """Of each column; None where there is no room for the least of them."""
        natural = self._need(cell_len, cell_len, cell_len)
        for least in (natural, self._need(_word, _text, cell_len), self._need(_word, _text, _part)):
            if sum(least) <= room:
                return _spread(least, natural, room)
        return None

    def _need(self, head: Measure, text: Measure, number: Measure) -> list[int]:
        """Width of each column whose head and cells need as much."""
        return [
            max(
                1,
                head(name),
                *((number if numeric else text)(cells[place].plain) for cells, _ in self.rows),
            )
            for place, (name, numeric) in enumerate(self.columns)
        ]

    def _table(self, widths: Sequence[int]) -> RenderableType:
        table = Columns(box=None, pad_edge=False, header_style="dim", padding=(0, GAP, 0, 0))
        table.show_header = any(name for name, _ in self.columns)
        for (name, numeric), width in zip(self.columns, widths, strict=True):
            table.add_column(Text(name), justify="right" if numeric else "left", width=width, overflow="fold")
        for cells, style in self.rows:
            table.add_row(*map(_fitted, cells, widths), style=style)
        return table

    def _paragraph(self, cells: Sequence[Text], style: str, width: int) -> Iterator[RenderableType]:
        """The first cell (the first two, where it has no name), and below it the others with their names, as
        many on a line as there is room for."""
        named = list(zip(self.columns, cells, strict=True))
        (name, numeric), first = named[0]
        head = [Text(f"{name} {first.plain}") if numeric and name else first]
        if not name and len(named) > 1 and not named[1][0][1]:
            head.append(named[1][1])
        line = Text(" " * GAP).join(head)
        line.overflow = "fold"
        line.stylize_before(style or "bold")
        yield line
        line = Text()
        for (name, _), cell in named[len(head) :]:
            if cell.plain in MISSING:
                continue
            piece = Text.assemble((f"{name} ", "dim"), cell) if name else cell
            if line and GAP + line.cell_len + 2 * GAP + piece.cell_len > width:
                yield Padding(line, (0, 0, 0, GAP), expand=False)
                line = Text()
            line = Text.assemble(line, " " * (2 * GAP), piece) if line else Text.assemble(piece)
            line.overflow = "fold"
        if line:
            yield Padding(line, (0, 0, 0, GAP), expand=False)


def _word(head: str) -> int:
    """Width of the longest word."""
    return max((_text(word) for word in head.split()), default=0)


def _text(text: str) -> int:
    """Width of a text that is wrapped where it is long."""
    return min(cell_len(text), LEAST)


def _part(number: str) -> int:
    """Width of the longer of a number and its interval."""
    value, bracket, bounds = number.partition(" [")
    return max(cell_len(value), cell_len(f"[{bounds}") if bracket else 0)


def _fitted(cell: Text, width: int) -> Text:
    """A cell whose interval goes below the number where both do not fit; its style is kept."""
    value, bracket, bounds = cell.plain.partition(" [")
    if cell.cell_len <= width or not bracket or _part(cell.plain) > width:
        return cell
    return Text(f"{value}\n[{bounds}", style=cell.style)


def _spread(least: Sequence[int], natural: Sequence[int], room: int) -> list[int]:
    """Widths that share out what room there is beyond the least, most to what lacks most."""
    widths = list(least)
    for _ in range(min(room, sum(natural)) - sum(widths)):
        lacking = [most - width for most, width in zip(natural, widths, strict=True)]
        widths[lacking.index(max(lacking))] += 1
    return widths
