"""Empty figures in one style."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from margin import figures
from margin.figures.style import StyleName, Width

if TYPE_CHECKING:
    from matplotlib.figure import Figure  # by name only: `figures` comes first, whatever MPLBACKEND says


@dataclass(frozen=True)
class Canvas:
    """Makes the empty figures that sections draw on."""

    style: StyleName = "paper"

    def figure(self, width: Width, height: float | None = None) -> Figure:
        """On paper `width` columns wide and `height` inches high, in a talk a slide."""
        return figures.figure("slide") if self.style == "talk" else figures.figure(width, height)
