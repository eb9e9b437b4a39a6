"""Where prompts land under conditions other than the modes."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from margin.figures.columns import checked, unique
from margin.figures.intervals import draw_intervals
from margin.figures.style import MUTED, Look, mode_looks
from margin.figures.text import label

OUTSIDE = "outside"
"""Name of the outcome of landing in no mode; drawn grey."""


def robustness(
    table: pd.DataFrame,
    ax: Axes,
    *,
    modes: Sequence[str] | None = None,
    limit: float | None = None,
    title: str = "Where prompts land, by condition",
) -> Axes:
    """Draw, for each condition, the share of prompts that land in each mode, with its interval.

    table : columns condition, outcome (a mode, or "outside"), share, low, high (0 to 1), n_prompts; one row a
    condition and outcome. Conditions stand in the order of the table. modes : as in `scatter`. limit :
    largest share allowed, drawn as a line. Raises ValueError for shares outside 0 to 1.

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
    outcomes = [name for name in dict.fromkeys(data["outcome"]) if name != OUTSIDE]
    looks = {mode: look for mode, look in mode_looks(modes or outcomes).items() if mode in outcomes}
    if (data["outcome"] == OUTSIDE).any():
        looks[OUTSIDE] = Look(MUTED, "X", "-")
    conditions = list(dict.fromkeys(data["condition"]))
    place = {condition: i for i, condition in enumerate(conditions)}
    step = 0.7 / len(looks)
    for i, (outcome, look) in enumerate(looks.items()):
        part = data[data["outcome"] == outcome]
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
    names = [label(name, 34) for name in conditions]
    if not alike:
        names = [f"{name}\nn = {counts[key]:,.0f}" for name, key in zip(names, conditions, strict=True)]
    ax.set_yticks(range(len(conditions)), names)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set(
        xlabel="share of prompts landing there" + (f" (n = {counts.iloc[0]:,.0f} each)" if alike else ""),
        title=title,
        xlim=(-0.02, 1.02),
        ylim=(len(conditions) - 0.5, -1.25),  # the legend's place on top
    )
    handles = [
        Line2D([], [], linestyle="-", marker=look.marker, color=look.colour, label=label(name, 16))
        for name, look in looks.items()
    ]
    ax.legend(
        handles=handles,
        loc="upper left",
        ncols=min(4, len(handles)),
        handlelength=1.4,
        columnspacing=0.9,
        borderaxespad=0,
        frameon=True,  # hides the line of the limit behind it
        framealpha=1,
        edgecolor="none",
    )
    return ax
