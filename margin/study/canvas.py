"""Empty figures in one style and of one width, and what is written in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from margin import figures
from margin.arguments import require_number
from margin.errors import MarginError
from margin.figures.style import WIDTHS, StyleName, Width
from margin.text import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure  # by name only: `figures` comes first, whatever MPLBACKEND says

SLIDE = 0.56
"""Height of a slide over its width."""
NARROWEST, WIDEST = 2.0, 40.0
"""Inches that a figure may be wide."""
BESIDE = 5.0
"""Inches from which two panels of type for print stand side by side."""


@dataclass(frozen=True)
class Canvas:
    """Makes the empty figures that sections draw on."""

    style: StyleName = "paper"
    width: float | None = None
    """Inches; None for that of the columns or the slide that a figure is made for."""
    titles: bool = True
    """Whether titles stand in the figure; else in its caption only."""
    notes: bool = True
    """Whether notes stand below the axes; else in the caption only."""

    def __post_init__(self) -> None:
        """MarginError for an unknown style, or a width that is not from `NARROWEST` to `WIDEST`."""
        if self.style not in get_args(StyleName):
            known = ", ".join(get_args(StyleName))
            raise MarginError(f"style {shown(self.style)!r} is unknown: choose from {known}")
        if self.width is not None:
            require_number(self.width, "width", NARROWEST, WIDEST)

    @property
    def is_narrow(self) -> bool:
        """Whether two panels have no room beside each other."""
        return self.width is not None and self.width < BESIDE * (1 if self.style == "paper" else 2)

    def figure(self, width: Width, height: float | None = None, *, slides: int = 1) -> Figure:
        """On paper `width` columns wide and `height` inches high, in a talk so many slides, one below the
        other."""
        if self.style == "talk":
            inches = self.width or WIDTHS["slide"]
            return figures.figure(inches, SLIDE * inches * slides)
        return figures.figure(self.width or width, height)

    def panels(self, count: int, height: float) -> tuple[Figure, list[Axes]]:
        """A figure of panels side by side; where it is to be too narrow for that, one below the other."""
        rows = count if self.is_narrow else 1
        fig = self.figure("single" if count == 1 else "double", height * rows, slides=rows)
        return fig, list(fig.subplots(rows, count // rows, squeeze=False).flat)
