"""Words of a figure put where they have room: legends above the data, long titles and labels on more lines.

How wide an axes is shows only once the figure is laid out, so `fit` comes last.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, FigureBase
from matplotlib.font_manager import FontProperties
from matplotlib.legend import Legend
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from margin.figures.canvas import on_canvas
from margin.figures.caption import titles
from margin.figures.measuring import CLOSE, break_lines, cell_of, renderer_of, width_of

_ABOVE = "above"
"""Mark of a legend that stands above the data."""
_TIMES = 5
"""How often a figure is laid out at most: words that move make room, or take it."""
_GUESS = 0.8
"""Share of an axes' own part of the figure that is its data area, before that is known."""
_TICKS = 0.8
"""Share of an axis that the numbers along it may take."""
_LETTER = 0.6
"""Width of a usual character, as a share of the type's size."""


def legend_above(ax: Axes, handles: Sequence[Artist] | None = None) -> None:
    """A legend between title and data, where it hides nothing; in as many columns as there is room for.

    handles : what stands in it; all that has a label unless given. Call it when all is drawn and titled.
    """
    if handles is None:
        handles, names = ax.get_legend_handles_labels()
    else:
        names = [str(handle.get_label()) for handle in handles]
    if handles and isinstance(ax.figure, FigureBase):
        _place(ax, handles, names)
        _align_titles([ax])


def letters(ax: Axes, share: float, most: int) -> int:
    """Characters, `most` at most, of a tick label that takes this share of what is the axes' own."""
    if ax.figure is None:
        return most
    size = FontProperties(size=mpl.rcParams["ytick.labelsize"]).get_size_in_points()
    return max(10, min(most, int(share * cell_of(ax).width / ax.figure.dpi * 72 / (size * _LETTER))))


@on_canvas
def fit(fig: Figure) -> None:
    """Give every legend above data its columns, and break titles and labels that have no room on one line.

    Does nothing to a figure that is laid out for good, and little to one that it was called for before; any
    other is laid out afterwards, for the resolution that it has now. Cost: it is laid out up to six times.

    Example
    -------
    >>> from margin import figures
    >>> fig = figures.figure("single")
    >>> ax = fig.add_subplot(title="a title " * 12)
    >>> figures.fit(fig)
    >>> ax.get_title(loc="center").count("\\n") > 0
    True
    """
    engine = fig.get_layout_engine()
    if engine is None or not fig.axes:
        return
    if not hasattr(fig.canvas, "get_renderer"):
        FigureCanvasAgg(fig)  # keeps its renderer, and so what texts measure, from one layout to the next
    shown = [ax for ax in fig.axes if ax.get_visible()]
    said = {text: text.get_text() for ax in shown for text in _words(ax)}
    over = fig._suptitle  # type: ignore[attr-defined]
    for ax in shown:
        # The size of their numbers decides how many ticks there are: as it is now, wherever it is drawn.
        if "labelsize" not in ax.xaxis.get_tick_params():
            ax.xaxis.set_tick_params(labelsize=mpl.rcParams["xtick.labelsize"])
        if "labelsize" not in ax.yaxis.get_tick_params():
            ax.yaxis.set_tick_params(labelsize=mpl.rcParams["ytick.labelsize"])
    for _ in range(_TIMES):
        engine.execute(fig)
        before, thinned = _places(said, shown, over), False
        for ax in shown:
            _fit_words(ax, said)
            thinned |= _thin_ticks(ax)
            if (legend := _above(ax)) is not None:
                names = [text.get_text() for text in legend.get_texts()]
                _place(
                    ax,
                    [handle for handle in legend.legend_handles if handle is not None],
                    names,
                    laid_out=True,
                )
        _align_titles(shown)
        if over is not None:
            break_lines(over, over.get_text(), 0.98 * fig.bbox.width)
        if not thinned and before == _places(said, shown, over):
            return
    engine.execute(fig)


def _places(texts: Iterable[Text], axes: Sequence[Axes], over: Text | None) -> list[tuple[str, float, float]]:
    """What each text says and where, what the figure's title says, and how far above data the axes' titles
    stand; all so far as it can be seen: what moves by rounding does so for ever."""
    places = [(text.get_text(), *text.get_position()) for text in texts]
    places += [("", *ax.titleOffsetTrans.get_matrix()[:2, 2]) for ax in axes]  # type: ignore[attr-defined]
    places += [] if over is None else [(over.get_text(), 0, 0)]
    return [(said, round(float(x), 3), round(float(y), 3)) for said, x, y in places]


def _words(ax: Axes) -> list[Text]:
    """Titles (left, centre) and labels (x, y) of an axes, in this order."""
    return [ax._left_title, ax.title, ax.xaxis.label, ax.yaxis.label]  # type: ignore[attr-defined]


def _fit_words(ax: Axes, said: dict[Text, str]) -> None:
    """Break what is too wide; what has more room if it does not stand at the axes moves to where it has."""
    area, cell = ax.get_window_extent(), cell_of(ax)
    left, centre, below, beside = _words(ax)
    at_left = below.get_horizontalalignment() == "left"
    for text in (left, below) if at_left else (left,):
        fits = width_of(text, said[text]) <= cell.x1 - area.x0
        text.set_x(0 if fits else (cell.x0 - area.x0) / area.width)
        break_lines(text, said[text], cell.width)
    middle, whole = (area.x0 + area.x1) / 2, (cell.x0 + cell.x1) / 2
    for text in (centre,) if at_left else (centre, below):
        fits = width_of(text, said[text]) <= 2 * min(middle - cell.x0, cell.x1 - middle)
        text.set_x(0.5 if fits else (whole - area.x0) / area.width)
        break_lines(text, said[text], cell.width)
    upright = (area.y0 + area.y1) / 2
    break_lines(beside, said[beside], 2 * min(upright - cell.y0, cell.y1 - upright), upright=True)


def _thin_ticks(ax: Axes) -> bool:
    """Fewer ticks along the x axis where their numbers would run into each other; whether there are."""
    locator, width = ax.xaxis.get_major_locator(), ax.get_window_extent().width
    numbers = [text.get_window_extent(renderer_of(ax)).width for text in ax.xaxis.get_majorticklabels()]
    if not isinstance(locator, MaxNLocator) or sum(numbers) <= _TICKS * width:
        return False
    locator.set_params(nbins=max(1, int(_TICKS * width / max(numbers))))
    return True


def _above(ax: Axes) -> Legend | None:
    legend = ax.get_legend()
    return legend if legend is not None and legend.get_gid() == _ABOVE else None


def _place(ax: Axes, handles: Sequence[Artist], names: Sequence[str], *, laid_out: bool = False) -> None:
    """Put the legend above the data, in the most columns there is room for.

    Where the figure is laid out, a wide one may begin left of the data; before, its room is a guess.
    """
    area, cell, renderer = ax.get_window_extent(), cell_of(ax), renderer_of(ax)
    size = FontProperties(size=mpl.rcParams["legend.fontsize"]).get_size_in_points()
    if (before := _above(ax)) is not None:  # of whose style this is
        size = float(before.get_texts()[0].get_fontsize())
    for columns in range(min(len(handles), 6), 0, -1):
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
            fontsize=size,
        )
        legend.set_gid(_ABOVE)
        legend.set_in_layout(False)  # else it would hold an axes where it once was; its room is the title's
        width = legend.get_window_extent(renderer).width / CLOSE
        if width <= (cell.x1 - area.x0 if laid_out else _GUESS * cell.width):
            return
        if laid_out and (width <= cell.width or columns == 1):  # it begins where the axes' names do
            legend.set_bbox_to_anchor(((cell.x0 - area.x0) / area.width, 1), ax.transAxes)
            return


def _align_titles(axes: Sequence[Axes]) -> None:
    """Titles stand above the highest legend of their row, and begin where their own does."""
    rows: dict[tuple[object, int], list[Axes]] = defaultdict(list)
    for ax in axes:
        spec = ax.get_subplotspec()
        rows[ax.figure, -1 if spec is None else spec.rowspan.start].append(ax)
    for row in rows.values():
        heights = [
            legend.get_window_extent(renderer_of(ax)).height / ax.figure.dpi * 72
            for ax in row
            if (legend := _above(ax)) is not None
        ]
        for ax in row if heights else ():
            left = ax._left_title  # type: ignore[attr-defined]
            x = left.get_position()[0]
            if (legend := _above(ax)) is not None:
                anchor = legend.get_bbox_to_anchor().transformed(ax.transAxes.inverted())
                x = min(x, float(anchor.x0))
            for side, text in titles(ax) or [("left", " ")]:  # that which holds a legend's room
                ax.set_title(text, loc=side, pad=max(heights) + mpl.rcParams["axes.titlepad"])
            left.set_x(x)
