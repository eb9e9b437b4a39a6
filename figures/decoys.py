"""Live tokens beside meaningless ones: what a margin has above any tokens."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from margin.figures.canvas import on_canvas
from margin.figures.columns import checked
from margin.figures.fit import legend_above, letters
from margin.figures.style import INK, MUTED
from margin.figures.text import label


@on_canvas
def decoy_strips(
    table: pd.DataFrame,
    ax: Axes,
    *,
    title: str = "Above what any tokens give",
    xlabel: str = "silhouette (−1 to 1)",
) -> Axes:
    """Draw the number of the live tokens as a dot, and of each decoy set as a tick, a line a number.

    table : columns name, live and decoys (the list of the sets' numbers); one row a number, in its order.

    Example
    -------
    >>> from margin import figures
    >>> table = pd.DataFrame({"name": ["all"], "live": [0.3], "decoys": [[0.01, 0.05]]})
    >>> figures.decoy_strips(table, figures.figure().add_subplot()).get_title()
    'Above what any tokens give'
    """
    data = checked(table, "decoys", ["name"], ["live"])
    at = np.arange(len(data), dtype=float)
    thin = float(mpl.rcParams["axes.linewidth"])
    ax.axvline(0, color=INK, linewidth=thin, zorder=0)
    for y, sets in zip(at, _sets(table), strict=True):
        ax.plot(sets, np.full(len(sets), y), "|", color=MUTED, markersize=9, zorder=2)
    ax.plot([], [], "|", color=MUTED, markersize=9, label="a set of meaningless tokens")
    ax.plot(data["live"], at, "o", color=INK, zorder=3, label="live tokens")
    ax.set_yticks(at, [label(name, letters(ax, 0.45, 28)) for name in data["name"]])
    ax.set_ylim(len(data) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set_xlabel(xlabel)
    ax.set_title(title)
    legend_above(ax)
    return ax


def _sets(table: pd.DataFrame) -> list[np.ndarray]:
    """The numbers of the decoy sets, row by row; ValueError where they are none."""
    if "decoys" not in table:
        raise ValueError("the decoys table lacks decoys: it needs name, live, decoys")
    found = []
    for row, sets in enumerate(table["decoys"]):
        try:
            numbers = np.asarray(sets, dtype=np.float64)
        except (TypeError, ValueError):
            numbers = np.full(0, np.nan)
        if numbers.ndim != 1 or not numbers.size or not np.isfinite(numbers).all():
            raise ValueError(f"row {row} of the decoys table has no list of finite numbers in decoys")
        found.append(numbers)
    return found
