"""Forest plots: estimates one below the other, each with its interval drawn and written."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from margin.arguments import require_count
from margin.figures.canvas import on_canvas
from margin.figures.caption import noted
from margin.figures.columns import INTERVAL, checked, unique
from margin.figures.fit import letters
from margin.figures.intervals import draw_intervals, written
from margin.figures.style import INK, MUTED, Look
from margin.figures.text import label

MIN_PROMPTS = 30
"""Prompts a slice needs before it is ranked: with fewer, its interval does not hold."""


def forest_height(rows: int) -> float:
    """Inches of figure height at which so many two-line labels stand clear, in the current style.

    Example
    -------
    >>> forest_height(20) > forest_height(10)
    True
    """
    return (rows * 2.9 + 8) * float(mpl.rcParams["font.size"]) / 72


@on_canvas
def slice_forest(
    table: pd.DataFrame,
    ax: Axes,
    *,
    overall: float | None = None,
    most: int | None = None,
    title: str = "Margin by slice, weakest first",
    xlabel: str = "silhouette (−1 to 1)",
) -> Axes:
    """Draw the margin of each slice with its interval, weakest on top.

    table : columns slice, estimate, low, high, n_prompts; one row a slice. With `high` missing the bar is a
    lower bound. Slices of fewer than 30 prompts, or those that a column `ranked` says no of, stand below,
    hollow and grey: they have no bound, and their order may be chance.
    overall : margin of all prompts, drawn as a dashed line.
    most : draw no more slices than this, the weakest first, those with a bound before the others; a note says
    how many there are.

    Example
    -------
    >>> import pandas as pd
    >>> from margin import figures
    >>> table = pd.DataFrame(
    ...     {"slice": ["en", "zh"], "estimate": [0.2, 0.3], "low": [0.1, 0.2], "high": [0.3, 0.4]}
    ... ).assign(n_prompts=180)
    >>> ax = figures.slice_forest(table, figures.figure().add_subplot(), overall=0.25)
    >>> [label.get_text().split()[0] for label in ax.get_yticklabels()]
    ['en', 'zh']
    """
    data = checked(table, "slice", ["slice"], [*INTERVAL, "n_prompts"])
    unique(data, "slice", ["slice"])
    data = data.sort_values(["estimate", "slice"], kind="stable", ignore_index=True)
    if most is not None:
        require_count(most, "most", 1)
    if "ranked" in data and not data["ranked"].isin([True, False]).all():
        raise ValueError("column ranked of the slice table holds something else than True and False")
    enough = data["ranked"].astype(bool) if "ranked" in data else data["n_prompts"] >= MIN_PROMPTS
    ranked, small = data[enough], data[~enough]
    notes = [] if overall is None else ["dashed: all prompts"]
    if most is not None and len(data) > most:
        notes.append(f"{most} of {len(data)} slices shown, the weakest")
        ranked = ranked.head(most)
        small = small.head(most - len(ranked))
    at = np.arange(len(ranked), dtype=float)
    below = len(ranked) + (0.5 if len(ranked) else 0.0) + np.arange(len(small), dtype=float)
    thin = float(mpl.rcParams["axes.linewidth"])
    if overall is not None:
        ax.axvline(overall, color=MUTED, linestyle=(0, (4, 3)), linewidth=thin, zorder=0)
    draw_intervals(ax, ranked, at, Look(INK, "o", "-"), value="estimate")
    draw_intervals(ax, small, below, Look(MUTED, "o", "-"), value="estimate", filled=False)
    rows = pd.concat([ranked, small])
    width = letters(ax, 0.4, 20)
    names = [f"{label(row.slice, width)}\nn = {row.n_prompts:,.0f}" for row in rows.itertuples()]
    _names(ax, rows, np.concatenate([at, below]), names, "estimate")
    if len(small):
        if len(ranked):
            ax.axhline(len(ranked) - 0.25, color=MUTED, linewidth=thin)
        notes.append(f"hollow: under {MIN_PROMPTS} prompts, not ranked")
    ax.set_xlabel(noted(xlabel, notes))
    ax.set_title(title, loc="center")  # names and numbers stand on both sides
    return ax


def _names(ax: Axes, rows: pd.DataFrame, at: np.ndarray, names: list[str], value: str) -> None:
    """Names on the left, the numbers written on the right."""
    ax.set_yticks(at, names)
    ax.set_ylim(at[-1] + 0.6, at[0] - 0.6)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    right = ax.secondary_yaxis("right")
    right.set_yticks(at, [text.replace(" [", "\n[") for text in written(rows, value)])
    right.tick_params(length=0, labelsize=mpl.rcParams["ytick.labelsize"])
    right.spines["right"].set_visible(False)
