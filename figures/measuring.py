"""What words of a figure take, and the room there is for them, in pixels."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.text import Text
from matplotlib.transforms import Bbox

CLOSE = 0.97
"""Share of the room that is used: a text is a little wider at another resolution."""
_GAP = 0.06
"""Inches left free beside an axes' own part of the figure."""


def break_lines(text: Text, said: str, room: float, *, upright: bool = False) -> None:
    """Break lines that need more than so many pixels between their words."""
    lines: list[str] = []
    for line in said.split("\n"):
        first, *others = line.split(" ")
        lines.append(first)
        for word in others:
            if width_of(text, f"{lines[-1]} {word}", upright=upright) <= CLOSE * room:
                lines[-1] += f" {word}"
            else:
                lines.append(word)
    text.set_text("\n".join(lines))


def width_of(text: Text, said: str, *, upright: bool = False) -> float:
    """Pixels that a text takes along its lines if it says this."""
    if not said:
        return 0.0
    text.set_text(said)
    box = text.get_window_extent(renderer_of(text))
    return float(box.height if upright else box.width)


def cell_of(ax: Axes) -> Bbox:
    """The part of a figure that is an axes' own, in pixels."""
    whole, spec = ax.figure.bbox, ax.get_subplotspec()
    if spec is None:
        return Bbox(whole.get_points())
    grid = spec.get_gridspec()
    heights = np.asarray(grid.get_height_ratios() or np.ones(grid.nrows), dtype=float)
    width, height = whole.width / grid.ncols, whole.height / heights.sum()
    gap = _GAP * ax.figure.dpi
    return Bbox.from_extents(
        whole.x0 + width * spec.colspan.start + gap,
        whole.y1 - height * heights[: spec.rowspan.stop].sum(),
        whole.x0 + width * spec.colspan.stop - gap,
        whole.y1 - height * heights[: spec.rowspan.start].sum(),
    )


def renderer_of(artist: Artist) -> RendererAgg:
    """Measures text of a figure; nothing is drawn with it."""
    assert artist.figure is not None
    return _measuring(artist.figure.dpi)


@lru_cache(maxsize=8)
def _measuring(dpi: float) -> RendererAgg:
    """One for a resolution: matplotlib remembers the size of a text for as long as its renderer lives."""
    return RendererAgg(1, 1, dpi)  # type: ignore[no-untyped-call]
