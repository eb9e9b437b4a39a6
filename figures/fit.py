"""Words of a figure put where they have room: legends above the data, long titles and labels on more lines.

How wide an axes is shows only once the figure is laid out, so `fit` comes last.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure, FigureBase
from matplotlib.font_manager import FontProperties
from matplotlib.legend import Legend
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from margin.figures.caption import SIDES, titles

_ABOVE = "above"
"""Mark of a legend that stands above the data."""


def legend_above(ax: Axes, handles: Sequence[Artist] | None = None) -> None:
    """A legend between title and data, where it hides nothing; in as many columns as there is room for.

    handles : what stands in it; all that has a label unless given. Call it when all is drawn and titled.
    """
    if handles is None:
        handles, names = ax.get_legend_handles_labels()
    else:
        names = [str(handle.get_label()) for handle in handles]
    if handles and isinstance(ax.figure, FigureBase):
        _place(ax, handles, names, _cell(ax).width)


def fit(fig: Figure) -> None:
    """Give every legend above data its columns, and break titles and labels that have no room on one line.

    Does nothing to a figure that is laid out for good, and little to one that it was called for before.
    Cost: the figure is laid out up to three times.
    """
    for _ in range(3):
        engine = fig.get_layout_engine()
        if engine is None or not fig.axes:
            return
        engine.execute(fig)
        # One after the other: all are to be done.
        if not sum([_fitted(ax) for ax in fig.axes if ax.get_visible()] + [_fitted_over_all(fig)]):
            return


def _fitted(ax: Axes) -> bool:
    """Whether anything about an axes had to be changed."""
    area, cell, changed = ax.get_window_extent(), _cell(ax), False
    legend = ax.get_legend()
    if legend is not None and legend.get_gid() == _ABOVE:
        names = [text.get_text() for text in legend.get_texts()]
        changed = _place(ax, [h for h in legend.legend_handles if h is not None], names, cell.x1 - area.x0)
    middle = 2 * min((area.x0 + area.x1) / 2 - cell.x0, cell.x1 - (area.x0 + area.x1) / 2)
    beside = cell.x1 - area.x0
    for side, its in zip(SIDES, (ax._left_title, ax.title, ax._right_title), strict=True):  # type: ignore[attr-defined]
        changed |= _broken(its, middle if side == "center" else beside)
    across = ax.xaxis.label
    changed |= _broken(across, beside if across.get_horizontalalignment() == "left" else middle)
    upright = 2 * min((area.y0 + area.y1) / 2 - cell.y0, cell.y1 - (area.y0 + area.y1) / 2)
    return _broken(ax.yaxis.label, upright, upright=True) or changed


def _fitted_over_all(fig: Figure) -> bool:
    over = fig._suptitle  # type: ignore[attr-defined]
    return over is not None and _broken(over, 0.98 * fig.bbox.width)


def _place(ax: Axes, handles: Sequence[Artist], names: Sequence[str], room: float) -> bool:
    """Put the legend above the data, in the most columns that fit in so many pixels; whether it was not so."""
    before, renderer = ax.get_legend(), _renderer(ax)
    for columns in range(min(len(handles), 6), 0, -1):
        legend = _legend(ax, handles, names, columns)
        box = legend.get_window_extent(renderer)
        if box.width <= room or columns == 1:
            break
    # As wide as before is no change: the room is known only roughly until the layout stands still.
    pad = box.height / ax.figure.dpi * 72 + mpl.rcParams["axes.titlepad"]
    for side, text in titles(ax):
        ax.set_title(text, loc=side, pad=pad)  # type: ignore[arg-type]
    return before is None or before._ncols != columns  # type: ignore[attr-defined]


def _legend(ax: Axes, handles: Sequence[Artist], names: Sequence[str], columns: int) -> Legend:
    before = ax.get_legend()
    size = FontProperties(size=mpl.rcParams["legend.fontsize"]).get_size_in_points()
    legend = ax.legend(
        handles,
        names,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=columns,
        borderaxespad=0.2,
        borderpad=0.1,
        handletextpad=0.5,
        columnspacing=1.0,
        frameon=False,
        fontsize=size if before is None else before.get_texts()[0].get_fontsize(),
    )
    legend.set_gid(_ABOVE)
    return legend


def _broken(text: Text, room: float, *, upright: bool = False) -> bool:
    """Break lines that need more than so many pixels between their words; whether any did."""
    said = text.get_text()
    if not said:
        return False
    renderer = _renderer(text)

    def fits(line: str) -> bool:
        text.set_text(line)
        box = text.get_window_extent(renderer)
        return (box.height if upright else box.width) <= room

    lines: list[str] = []
    for line in said.split("\n"):
        if fits(line):
            lines.append(line)
            continue
        first, *others = line.split(" ")
        lines.append(first)
        for word in others:
            if fits(f"{lines[-1]} {word}"):
                lines[-1] += f" {word}"
            else:
                lines.append(word)
    text.set_text("\n".join(lines))
    return len(lines) > len(said.split("\n"))


def _cell(ax: Axes) -> Bbox:
    """The part of a figure that is an axes' own, in pixels."""
    whole, spec = ax.figure.bbox, ax.get_subplotspec()
    if spec is None:
        return Bbox(whole.get_points())
    grid = spec.get_gridspec()
    width, heights = whole.width / grid.ncols, grid.get_height_ratios() or [1] * grid.nrows
    above, total = sum(heights[: spec.rowspan.start]), sum(heights)
    below = sum(heights[: spec.rowspan.stop])
    x0 = whole.x0 + width * spec.colspan.start
    x1 = whole.x0 + width * spec.colspan.stop
    gap = 0.06 * ax.figure.dpi  # from what stands beside it
    return Bbox.from_extents(
        x0 + gap,
        whole.y1 - whole.height * below / total,
        x1 - gap,
        whole.y1 - whole.height * above / total,
    )


def _renderer(artist: Artist) -> RendererAgg:
    """Measures text of a figure; nothing is drawn with it."""
    assert artist.figure is not None
    return RendererAgg(1, 1, artist.figure.dpi)
