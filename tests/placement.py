"""What a reader would stumble over in a figure, measured as it is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import Collection
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.transforms import Bbox

SLACK = 0.12
"""Share of a text's size by which its box may reach over: boxes hold room for letters that are not there."""


def faults(fig: Figure) -> list[str]:
    """Text over text or over another panel, text beyond the canvas, and legends over what is drawn.

    Of a figure as `Report.figure` gives it, which is drawn here once.
    """
    renderer = FigureCanvasAgg(fig).get_renderer()  # type: ignore[no-untyped-call]
    texts = _texts(fig, renderer)
    return [
        *_overlapping(texts),
        *_clipped(fig, texts),
        *_over_panels(fig, texts),
        *(fault for ax in fig.axes for fault in _legend_over_data(ax, renderer)),
    ]


def _texts(fig: Figure, renderer: RendererBase) -> list[tuple[Text, Bbox]]:
    """Every text that is drawn, with its box a little tighter."""
    found: list[tuple[Text, Bbox]] = []
    draw = Text.draw

    def noted(self: Text, renderer: RendererBase, *more: object, **others: object) -> None:
        if self.get_visible() and self.get_text().strip():
            slack = SLACK * float(self.get_fontsize()) * fig.dpi / 72
            found.append((self, self.get_window_extent(renderer).padded(-slack)))
        draw(self, renderer, *more, **others)

    Text.draw = noted  # type: ignore[assignment, method-assign]
    try:
        fig.draw(renderer)
    finally:
        Text.draw = draw  # type: ignore[method-assign]
    return found


def _overlapping(texts: list[tuple[Text, Bbox]]) -> Iterator[str]:
    for (one, box), (other, its) in combinations(texts, 2):
        if _meet(box, its):
            yield f"{one.get_text()!r} overlaps {other.get_text()!r}"


def _clipped(fig: Figure, texts: list[tuple[Text, Bbox]]) -> Iterator[str]:
    canvas = fig.bbox
    for text, box in texts:
        if box.x0 < canvas.x0 or box.y0 < canvas.y0 or box.x1 > canvas.x1 or box.y1 > canvas.y1:
            yield f"{text.get_text()!r} is cut by the canvas"


def _over_panels(fig: Figure, texts: list[tuple[Text, Bbox]]) -> Iterator[str]:
    """Text of one panel over the data area of another."""
    for text, box in texts:
        for ax in fig.axes:
            if ax.get_visible() and text.axes not in (None, ax) and _meet(box, ax.get_window_extent()):
                yield f"{text.get_text()!r} lies over another panel"


def _legend_over_data(ax: Axes, renderer: RendererBase) -> Iterator[str]:
    legend = ax.get_legend()
    if legend is None or not ax.get_visible():
        return
    box = legend.get_window_extent(renderer).padded(-2)
    for artist in (*ax.lines, *ax.collections, *ax.patches, *ax.images):
        if artist.get_visible() and _reaches(artist, ax, box):
            yield f"the legend of {ax.get_title(loc='left') or ax.get_title()!r} lies over {artist}"


def _reaches(artist: Artist, ax: Axes, box: Bbox) -> bool:
    """Whether anything of an artist is drawn inside a box in pixels; what the axes clip is not drawn."""
    inside = Bbox.intersection(box, ax.get_window_extent())
    if inside is None or inside.width < 1 or inside.height < 1:
        return False
    if isinstance(artist, Line2D):
        path = artist.get_transform().transform_path(artist.get_path())
        line = artist.get_linestyle() not in ("", " ", "None", "none")
        marks = artist.get_marker() not in ("", " ", "None", "none", None)
        at = np.asarray(path.vertices)
        among = (at >= [inside.x0, inside.y0]) & (at <= [inside.x1, inside.y1])
        return (marks and bool(among.all(axis=1).any())) or (line and _crosses(path, inside, filled=False))
    if isinstance(artist, Collection):
        filled = len(artist.get_facecolor()) > 0
        to_pixels = artist.get_transform()
        return any(_crosses(to_pixels.transform_path(p), inside, filled) for p in artist.get_paths())
    if isinstance(artist, Patch):
        return _crosses(artist.get_transform().transform_path(artist.get_path()), inside, artist.get_fill())
    return isinstance(artist, AxesImage)


def _crosses(path: Path, box: Bbox, filled: bool) -> bool:
    vertices = np.asarray(path.vertices)
    return bool(np.isfinite(vertices).any()) and path.intersects_bbox(box, filled=filled)


def _meet(box: Bbox, other: Bbox) -> bool:
    """Whether two boxes share more than an edge."""
    both = Bbox.intersection(box, other)
    return both is not None and both.width > 0.5 and both.height > 0.5
