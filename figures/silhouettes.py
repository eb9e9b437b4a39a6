"""Silhouettes of the points: the silhouette plot and their distributions by mode.

All three functions take one row a point with the columns prompt, mode and silhouette (-1 to 1, no unit), and
know nothing of how the silhouettes were computed. `estimates`, where asked, has one row a mode with the
columns name, estimate, low, high: the mean silhouette of the mode with its interval. The interval cannot be
had from the silhouettes alone, since the points of a prompt depend on each other; so it is handed over, and
without it no mean is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from margin.figures.canvas import on_canvas
from margin.figures.caption import noted
from margin.figures.columns import INTERVAL, checked, unique, within
from margin.figures.fit import legend_above
from margin.figures.intervals import draw_intervals, written
from margin.figures.style import INK, MUTED, Look, mode_looks
from margin.figures.text import label

_TALL = 6
"""Modes up to which a label of three lines a mode has room."""
_AXIS = "silhouette (−1 to 1, no unit)"


@on_canvas
def silhouette_plot(
    table: pd.DataFrame,
    ax: Axes,
    *,
    estimates: pd.DataFrame | None = None,
    modes: Sequence[str] | None = None,
    title: str = "Silhouettes, point by point",
) -> Axes:
    """Silhouette plot (Rousseeuw 1987): the points of each mode as sorted bars; what reaches left of 0 lies
    nearer to another mode than to its own. With `estimates` each mode's mean is marked with its interval.

    Example
    -------
    >>> import pandas as pd
    >>> from margin import figures
    >>> table = pd.DataFrame(
    ...     {"prompt": ["a", "a", "b", "b"], "mode": ["pos", "neg"] * 2, "silhouette": [0.3, 0.2, 0.1, 0.4]}
    ... )
    >>> ax = figures.silhouette_plot(table, figures.figure().add_subplot())
    >>> ax.get_xlabel()
    'silhouette (−1 to 1, no unit)'
    """
    data, looks, means = _read(table, estimates, modes)
    top, gap = 0.0, max(1.0, len(data) * 0.03)
    middles: list[float] = []
    for mode in looks:
        values = np.sort(data.loc[data["mode"] == mode, "silhouette"].to_numpy())[::-1]
        edges = top + np.arange(len(values) + 1)
        ax.stairs(
            values, edges, orientation="horizontal", fill=True, color=looks[mode].colour, alpha=0.75, lw=0
        )
        middles.append(top + len(values) / 2)
        top = edges[-1] + gap
    for mode, middle in zip(looks, middles, strict=True):
        if mode in means.index:
            draw_intervals(ax, means.loc[[mode]], np.array([middle]), Look(INK, "D", "-"), value="estimate")
    ax.axvline(0, color=INK, linewidth=mpl.rcParams["axes.linewidth"])
    ax.set_yticks(middles, [_name(mode, data, means) for mode in looks])
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set(xlabel=_AXIS, title=title, ylim=(top - gap + 0.5, -0.5))
    return ax


@on_canvas
def silhouette_ecdf(
    table: pd.DataFrame,
    ax: Axes,
    *,
    level: float = 0.95,
    modes: Sequence[str] | None = None,
    title: str = "Share of prompts below a silhouette",
) -> Axes:
    """Cumulative distribution of each mode's silhouettes, with the band of Dvoretzky, Kiefer and Wolfowitz
    (Massart 1990) that holds the whole curve with probability `level`, prompts being drawn at random and the
    run given.

    Example
    -------
    >>> import pandas as pd
    >>> from margin import figures
    >>> table = pd.DataFrame(
    ...     {"prompt": ["a", "a", "b", "b"], "mode": ["pos", "neg"] * 2, "silhouette": [0.3, 0.2, 0.1, 0.4]}
    ... )
    >>> ax = figures.silhouette_ecdf(table, figures.figure().add_subplot())
    >>> ax.get_ylabel()
    'share of prompts'
    """
    data, looks, _ = _read(table, None, modes)
    for mode, look in looks.items():
        values = np.sort(data.loc[data["mode"] == mode, "silhouette"].to_numpy())
        shares = np.arange(len(values) + 1) / len(values)
        half = np.sqrt(np.log(2 / (1 - level)) / (2 * len(values)))
        x = np.concatenate([values[:1], values])
        lower, upper = np.clip(shares - half, 0, 1), np.clip(shares + half, 0, 1)
        ax.fill_between(x, lower, upper, step="post", color=look.colour, alpha=0.15, lw=0)
        ax.step(x, shares, where="post", color=look.colour, linestyle=look.line, label=label(mode, 16))
    ax.axvline(0, color=MUTED, linewidth=mpl.rcParams["axes.linewidth"], zorder=0)
    about = noted(_AXIS, [f"bands: {level:.0%}, each for a whole curve"])
    ax.set(xlabel=about, ylabel="share of prompts", ylim=(0, 1), title=title)
    legend_above(ax)
    return ax


@on_canvas
def silhouette_strips(
    table: pd.DataFrame,
    ax: Axes,
    *,
    estimates: pd.DataFrame | None = None,
    modes: Sequence[str] | None = None,
    title: str = "Silhouettes by mode",
) -> Axes:
    """Every point of each mode as a dot, with a box from the lower to the upper quartile and a line at the
    median; with `estimates`, the mean and its interval above.

    Example
    -------
    >>> import pandas as pd
    >>> from margin import figures
    >>> table = pd.DataFrame(
    ...     {"prompt": ["a", "a", "b", "b"], "mode": ["pos", "neg"] * 2, "silhouette": [0.3, 0.2, 0.1, 0.4]}
    ... )
    >>> ax = figures.silhouette_strips(table, figures.figure().add_subplot())
    >>> ax.get_xlabel()
    'silhouette (−1 to 1, no unit)'
    """
    data, looks, means = _read(table, estimates, modes)
    for row, (mode, look) in enumerate(looks.items()):
        values = np.sort(data.loc[data["mode"] == mode, "silhouette"].to_numpy())
        # A low-discrepancy sequence spreads the dots evenly and draws them the same every time.
        spread = (np.arange(len(values)) * 0.6180339887) % 1
        ax.plot(
            values,
            row + 0.06 + 0.30 * spread,
            linestyle="",
            marker=look.marker,
            markersize=mpl.rcParams["lines.markersize"] * 0.45,
            color=look.colour,
            alpha=0.5,
            markeredgewidth=0,
            rasterized=len(values) > 1000,
        )
        lower, median, upper = np.quantile(values, [0.25, 0.5, 0.75])
        ax.fill_betweenx([row - 0.12, row + 0.0], lower, upper, color=look.colour, alpha=0.35, lw=0)
        ax.vlines(median, row - 0.12, row, color=look.colour, linewidth=mpl.rcParams["lines.linewidth"] * 1.4)
        if mode in means.index:
            draw_intervals(
                ax, means.loc[[mode]], np.array([row - 0.27]), Look(INK, "D", "-"), value="estimate"
            )
    ax.axvline(0, color=MUTED, linewidth=mpl.rcParams["axes.linewidth"], zorder=0)
    ax.set_yticks(range(len(looks)), [_name(mode, data, means) for mode in looks])
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set(xlabel=_AXIS, title=title, ylim=(len(looks) - 0.5, -0.5))
    return ax


def _read(
    table: pd.DataFrame, estimates: pd.DataFrame | None, modes: Sequence[str] | None
) -> tuple[pd.DataFrame, dict[str, Look], pd.DataFrame]:
    """Checked points, the looks of the modes they have, and the modes' means by name (empty without
    `estimates`).
    """
    data = checked(table, "silhouette", ["prompt", "mode"], ["silhouette"])
    unique(data, "silhouette", ["prompt", "mode"])
    within(data, "silhouette", "silhouette", -1, 1)
    present = set(data["mode"])
    looks = {mode: look for mode, look in mode_looks(modes or present).items() if mode in present}
    if estimates is None:
        return data, looks, pd.DataFrame(columns=list(INTERVAL), dtype=float)
    means = checked(estimates, "estimates", ["name"], INTERVAL)
    unique(means, "estimates", ["name"])
    return data, looks, means.set_index("name")


def _name(mode: str, data: pd.DataFrame, means: pd.DataFrame) -> str:
    """Tick label of a mode: its name, its mean if known, and how many prompts it has.

    Of more modes than three lines each have room for, the name and the mean on one line.
    """
    mean = ""
    if mode in means.index:
        mean = "\n" + written(means)[list(means.index).index(mode)]
    if data["mode"].nunique() > _TALL:
        return label(mode, 16) + mean.replace("\n", "  ")
    return f"{label(mode, 16)}{mean}\nn = {(data['mode'] == mode).sum():,}"
