"""How far each pair of modes stands apart."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.ticker import MaxNLocator

from margin.figures.canvas import on_canvas
from margin.figures.columns import INTERVAL, checked
from margin.figures.intervals import written
from margin.figures.style import INK, mode_order
from margin.figures.text import label

_NAME = 14
"""Characters of a mode's name at most."""
_WIDTH = 0.6
"""Width of a usual character, as a share of the type's size."""
_WRITTEN = 14
"""Characters of an interval as it is written."""
_LEGIBLE = 3.5
"""Size of type, in points, under which nothing is written."""


@on_canvas
def pair_heatmap(
    table: pd.DataFrame,
    ax: Axes,
    *,
    title: str = "Margin between each pair of modes",
    unit: str = "silhouette (−1 to 1)",
) -> Axes:
    """Draw a triangle of cells, one a pair of modes, with its value and interval written in it where
    the cells are large enough.

    table : columns first, second (modes), estimate, low, high; one row a pair, in either order. The shade
    runs from 0 (or the least value below it) to the largest value. Raises ValueError for a pair given twice
    or of a mode with itself.

    Example
    -------
    >>> import pandas as pd
    >>> from margin import figures
    >>> table = pd.DataFrame(
    ...     {
    ...         "first": ["pos", "pos", "neg"],
    ...         "second": ["neg", "rej", "rej"],
    ...         "estimate": [0.33, 0.20, 0.35],
    ...         "low": [0.31, 0.18, 0.33],
    ...         "high": [0.35, 0.22, 0.37],
    ...     }
    ... )
    >>> ax = figures.pair_heatmap(table, figures.figure().add_subplot())
    >>> [label.get_text() for label in ax.get_xticklabels()]
    ['pos', 'neg']
    """
    data = checked(table, "pair", ["first", "second"], INTERVAL)
    modes = mode_order([*data["first"], *data["second"]])
    place = {mode: i for i, mode in enumerate(modes)}
    cells = np.full((len(modes), len(modes)), np.nan)
    texts: dict[tuple[int, int], str] = {}
    for row, text in zip(data.itertuples(), written(data), strict=True):
        column, line = sorted((place[row.first], place[row.second]))
        if column == line:
            raise ValueError(f"the pair table pairs the mode {row.first} with itself")
        if (line, column) in texts:
            raise ValueError(f"the pair table has two rows for {row.first} and {row.second}")
        cells[line, column] = row.estimate
        texts[line, column] = text.replace(" [", "\n[")
    low, high = min(0.0, float(np.nanmin(cells))), max(0.05, float(np.nanmax(cells)))
    # The last row and the first column hold every pair; the diagonal says nothing.
    shades = ax.imshow(cells[1:, :-1], cmap="Blues", vmin=low, vmax=high, aspect="auto")
    # Outside our styles the size may be a word.
    usual = FontProperties(size=mpl.rcParams["xtick.labelsize"]).get_size_in_points()
    room = _cell(ax, len(modes) - 1)
    small = min(usual * (1.0 if len(modes) <= 4 else 0.8), room / (_WRITTEN * _WIDTH))
    for (line, column), text in texts.items() if small >= _LEGIBLE else ():
        dark = (cells[line, column] - low) / (high - low) > 0.55
        ax.text(
            column, line - 1, text, ha="center", va="center", color="white" if dark else INK, fontsize=small
        )
    fitting = int(0.6 * room / (usual * _WIDTH))  # the names beside take some of the room
    upright = fitting < min(_NAME, 6, max(map(len, modes)))
    below = [label(mode, _NAME if upright else min(fitting, _NAME)) for mode in modes[:-1]]
    ax.set_xticks(range(len(modes) - 1), below, rotation=90 if upright else 0)
    ax.set_yticks(range(len(modes) - 1), [label(mode, _NAME) for mode in modes[1:]])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_title(title)
    if ax.figure is not None:
        ax.figure.colorbar(shades, ax=ax, label=unit, fraction=0.06, pad=0.03, ticks=MaxNLocator(5))
    return ax


def _cell(ax: Axes, columns: int) -> float:
    """Width of one of so many columns, in points; near enough before the figure is laid out."""
    if ax.figure is None:
        return 1e3
    return float(ax.get_window_extent().width / ax.figure.dpi * 72 / columns)
