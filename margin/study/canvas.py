"""Empty figures in one style and of one width, and what is written in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from margin import figures
from margin.figures.style import WIDTHS, StyleName, Width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure  # by name only: `figures` comes first, whatever MPLBACKEND says

SLIDE = 0.56
"""Height of a slide over its width."""
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
