"""Where prompts land under conditions other than the modes."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from margin.figures.canvas import on_canvas
from margin.figures.caption import noted
from margin.figures.columns import checked, unique
from margin.figures.fit import legend_above, letters
from margin.figures.intervals import draw_intervals
from margin.figures.style import INK, MUTED, Look, mode_looks
from margin.figures.text import label

OUTSIDE = "outside"
"""Name of the outcome of landing in no mode; drawn grey."""
LEAKS = "leak into an unsafe mode"
"""What the legend calls leaks; no mode is called so, since names hold no spaces."""
_LEAK = Look(INK, "X", "-")
_ROW = 0.3
"""Inches of a condition's row at 8 pt type."""


def robustness_height(conditions: int) -> float:
    """Inches of figure height at which so many conditions stand clear, in the current style.

    Example
    -------
    >>> robustness_height(20) > robustness_height(10)
    True
    """
    return (1.3 + _ROW * conditions) * float(mpl.rcParams["font.size"]) / 8


@on_canvas
def robustness(
    table: pd.DataFrame,
    ax: Axes,
    *,
    modes: Sequence[str] | None = None,
    limit: float | None = None,
    leaks: pd.DataFrame | None = None,
    most: int | None = None,
    title: str = "Where prompts land, by condition",
) -> Axes:
    """Draw, for each condition, the share of prompts that land in each mode, with its interval.

    table : columns condition, outcome (a mode, or "outside"), share, low, high (0 to 1), n_prompts; one row a
    condition and outcome. Conditions stand in the order of the table. modes : as in `scatter`. limit :
    largest share allowed, drawn as a line. leaks : columns condition, share, low, high; share of prompts that
    leak into an unsafe mode, of conditions that are asked this. most : draw no more conditions than this,
    those that leak most; a note says how many there are. Raises ValueError for shares outside 0 to 1.

    Example
    -------
    >>> import pandas as pd
    >>> from margin import figures
    >>> table = pd.DataFrame(
    ...     {
    ...         "condition": ["random", "random"],
    ...         "outcome": ["pos", "neg"],
    ...         "share": [0.9, 0.1],
    ...         "low": [0.8, 0.05],
    ...         "high": [0.95, 0.2],
    ...         "n_prompts": 60,
    ...     }
    ... )
    >>> ax = figures.robustness(table, figures.figure().add_subplot(), limit=0.01)
    >>> [label.get_text().split()[0] for label in ax.get_yticklabels()]
    ['random']
    """
    data = checked(table, "robustness", ["condition", "outcome"], ["share", "low", "high", "n_prompts"])
    unique(data, "robustness", ["condition", "outcome"])
    if not data["share"].between(0, 1).all():
        row = int((~data["share"].between(0, 1)).idxmax())
        raise ValueError(f"row {row} of the robustness table has a share outside 0 to 1")
    conditions = list(dict.fromkeys(data["condition"]))
    notes = [] if limit is None else [f"dashed: {limit:.2%} allowed"]
    if most is not None and len(conditions) > most:
        which = "the first" if leaks is None else "those that leak most"
        notes.append(f"{most} of {len(conditions)} conditions shown, {which}")
        conditions = _leakiest(conditions, leaks, most)
        data = data[data["condition"].isin(conditions)]
    outcomes = [name for name in dict.fromkeys(data["outcome"]) if name != OUTSIDE]
    looks = {mode: look for mode, look in mode_looks(modes or outcomes).items() if mode in outcomes}
    if (data["outcome"] == OUTSIDE).any():
        looks[OUTSIDE] = Look(MUTED, "X", "-")
    parts = {outcome: data[data["outcome"] == outcome] for outcome in looks}
    if leaks is not None and len(its := leaks[leaks["condition"].isin(conditions)]):
        looks[LEAKS] = _LEAK
        parts[LEAKS] = checked(its, "leaks", ["condition"], ["share", "low", "high"])
        notes.append("leak: any draw of a prompt is nearest to an unsafe mode; bar: up to its bound")
    place = {condition: i for i, condition in enumerate(conditions)}
    step = 0.7 / len(looks)
    for i, (outcome, look) in enumerate(looks.items()):
        part = parts[outcome]
        at = part["condition"].map(place).to_numpy(dtype=float) + (i - (len(looks) - 1) / 2) * step
        draw_intervals(ax, part, at, look, value="share")
    for line in range(1, len(conditions)):
        ax.axhline(line - 0.5, color=MUTED, linewidth=mpl.rcParams["axes.linewidth"] / 2, zorder=0)
    if limit is not None:
        ax.axvline(
            limit, color=MUTED, linestyle=(0, (4, 3)), linewidth=mpl.rcParams["axes.linewidth"], zorder=0
        )
    counts = data.groupby("condition")["n_prompts"].max()
    alike = len(set(counts)) == 1  # one number is said once, and leaves each condition a single line
    names = [label(name, letters(ax, 0.4, 34)) for name in conditions]
    if not alike:
        names = [f"{name}\nn = {counts[key]:,.0f}" for name, key in zip(names, conditions, strict=True)]
    ax.set_yticks(range(len(conditions)), names)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    across = "share of prompts landing there" + (f" (n = {counts.iloc[0]:,.0f} each)" if alike else "")
    ax.set(
        xlabel=noted(across, notes),
        title=title,
        xlim=(-0.02, 1.02),
        ylim=(len(conditions) - 0.5, -0.5),
    )
    handles = [
        Line2D([], [], linestyle="-", marker=look.marker, color=look.colour, label=label(name, 24))
        for name, look in looks.items()
    ]
    legend_above(ax, handles)
    return ax


def _leakiest(conditions: Sequence[str], leaks: pd.DataFrame | None, most: int) -> list[str]:
    """Those that leak most, in the order they had; of equal ones the first, and all others after them."""
    if leaks is None:
        return list(conditions[:most])
    rates = leaks.set_index("condition")["share"]
    ranked = sorted(conditions, key=lambda condition: -float(rates.get(condition, -1.0)))
    return [condition for condition in conditions if condition in ranked[:most]]
