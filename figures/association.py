"""Two numbers of many checkpoints against each other, and what risk a score leaves."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from margin.figures.canvas import on_canvas
from margin.figures.columns import checked
from margin.figures.style import INK, MUTED
from margin.figures.text import label

_ENDS = ("x_low", "x_high", "y_low", "y_high")


@on_canvas
def association(
    table: pd.DataFrame,
    ax: Axes,
    *,
    names: tuple[str, str] = ("x", "y"),
    title: str = "",
) -> Axes:
    """Draw one marker a checkpoint with its interval both ways.

    The markers set how far the axes reach; intervals that reach beyond are cut off. Of many checkpoints bars
    are fainter.

    table : columns x, x_low, x_high, y, y_low, y_high; one row a checkpoint. Ends may be missing.

    Example
    -------
    >>> import pandas as pd
    >>> from margin import figures
    >>> table = pd.DataFrame({"x": [0.1, 0.3], "y": [0.5, 0.9]})
    >>> table = table.assign(x_low=[0.0, 0.2], x_high=[0.2, 0.4], y_low=0.4, y_high=1.0)
    >>> figures.association(table, figures.figure().add_subplot(), names=("margin", "switch")).get_ylabel()
    'switch'
    """
    data = checked(table.dropna(subset=["x", "y"]), "association", [], ["x", "y"])
    ends = {name: pd.to_numeric(data[name]).astype(float) for name in _ENDS}
    thin = float(mpl.rcParams["axes.linewidth"])
    crowd = float(np.clip((40 / len(data)) ** 0.5, 0.4, 1.0))
    size = 0.7 * crowd**0.5 * float(mpl.rcParams["lines.markersize"])
    ax.hlines(data["y"], *_filled(ends, data, "x"), color=MUTED, linewidth=thin, alpha=0.6 * crowd, zorder=2)
    ax.vlines(data["x"], *_filled(ends, data, "y"), color=MUTED, linewidth=thin, alpha=0.6 * crowd, zorder=2)
    ax.plot(
        data["x"],
        data["y"],
        linestyle="",
        marker="o",
        markersize=size,
        color=INK,
        markeredgecolor="white",
        markeredgewidth=0.1 * size,
        zorder=3,
    )
    ax.set(xlabel=label(names[0], 40), ylabel=label(names[1], 34), title=title)
    ax.set(xlim=_reach(data["x"]), ylim=_reach(data["y"]))
    return ax


@on_canvas
def risk_coverage(
    table: pd.DataFrame,
    ax: Axes,
    *,
    title: str = "What is left of the failures",
    xlabel: str = "share of answers kept, largest margins first",
    ylabel: str = "share of these that failed",
) -> Axes:
    """Draw the share of failures left when only so many cases are kept: a thin line a run, their mean thick.

    table : columns run, coverage (0 to 1), risk.

    Example
    -------
    >>> import pandas as pd
    >>> from margin import figures
    >>> table = pd.DataFrame({"run": "a", "coverage": [0.5, 1.0], "risk": [0.0, 0.25]})
    >>> figures.risk_coverage(table, figures.figure().add_subplot()).get_xlabel()
    'share of answers kept, largest margins first'
    """
    data = checked(table, "risk-coverage", ["run"], ["coverage", "risk"])
    thin = float(mpl.rcParams["axes.linewidth"])
    at = np.linspace(0.05, 1, 96)
    fade = float(np.clip(6 / data["run"].nunique(), 0.06, 0.35))
    curves = []
    for _, run in data.groupby("run", sort=False):
        ordered = run.sort_values("coverage")
        ax.plot(ordered["coverage"], ordered["risk"], color=MUTED, linewidth=thin, alpha=fade)
        curves.append(np.interp(at, ordered["coverage"], ordered["risk"]))
    ax.plot(at, np.mean(curves, axis=0), color=INK, linewidth=2 * thin)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title, xlim=(0, 1), ylim=(0, None))
    return ax


def _reach(values: pd.Series) -> tuple[float, float]:
    """The range of the values, and a tenth of it on both sides."""
    width = float(np.ptp(values)) or 1.0
    return float(values.min()) - 0.1 * width, float(values.max()) + 0.1 * width


def _filled(ends: dict[str, pd.Series], data: pd.DataFrame, axis: str) -> tuple[pd.Series, pd.Series]:
    """Both ends along an axis, the number itself where one is missing."""
    return ends[f"{axis}_low"].fillna(data[axis]), ends[f"{axis}_high"].fillna(data[axis])
