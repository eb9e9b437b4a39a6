"""A number with its interval, drawn and written the same way in every figure."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from margin.figures.style import Look


def draw_intervals(
    ax: Axes, table: pd.DataFrame, at: np.ndarray, look: Look, *, value: str, filled: bool = True
) -> None:
    """Draw each row at height `at`: a marker at `value`, a bar from `low` to `high`.

    With only one end known the bar is a bound: it ends in a cap there and at the marker. With neither, the
    marker stands alone and hollow. `filled=False` draws all markers hollow, for numbers that are not to
    be compared.
    """
    size = 0.85 * mpl.rcParams["lines.markersize"]
    low, high = table["low"].fillna(table[value]), table["high"].fillna(table[value])
    ax.hlines(at, low, high, color=look.colour, linewidth=mpl.rcParams["lines.linewidth"])
    for end in ("low", "high"):
        ax.plot(table[end], at, linestyle="", marker="|", color=look.colour, markersize=size)
    solid = (table[["low", "high"]].notna().any(axis=1) & filled).to_numpy()
    for mask, face in ((solid, look.colour), (~solid, "white")):
        ax.plot(
            table[value][mask],
            at[mask],
            linestyle="",
            marker=look.marker,
            markersize=size,
            markerfacecolor=face,
            markeredgecolor=look.colour,
            zorder=3,
        )


def decimals(value: float, digits: int) -> str:
    """Number with a true minus sign, and none before a zero."""
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


def written(table: pd.DataFrame, value: str = "estimate") -> list[str]:
    """Each row's number and interval as text: "0.13 [0.12, 0.14]", "0.13 [≥ 0.12]", or "0.13 [–]" where none
    is known.

    All rows have the same two to five digits, enough to show how wide the median interval is.
    """
    widths = (table["high"].fillna(table[value]) - table["low"].fillna(table[value])).to_numpy(dtype=float)
    width = float(np.median(widths[widths > 0])) if (widths > 0).any() else 0.1
    digits = int(np.clip(np.floor(0.5 - np.log10(width)) + 1, 2, 5))
    texts = []
    for number, low, high in table[[value, "low", "high"]].itertuples(index=False):
        middle, left, right = (decimals(x, digits) for x in (number, low, high))
        ends = f"{left}, {right}"
        if np.isnan(high):
            ends = "–" if np.isnan(low) else f"≥ {left}"
        elif np.isnan(low):
            ends = f"≤ {right}"
        texts.append(f"{middle} [{ends}]")
    return texts
