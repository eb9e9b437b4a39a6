"""The margin of each prompt, weakest first."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from margin.figures.canvas import on_canvas
from margin.figures.caption import noted
from margin.figures.columns import checked, unique, within
from margin.figures.fit import legend_above
from margin.figures.style import FILL, INK, MUTED
from margin.figures.text import label


@on_canvas
def prompt_waterfall(
    table: pd.DataFrame, ax: Axes, *, named: int = 3, title: str = "Margin of every prompt, weakest first"
) -> Axes:
    """Draw each prompt's margin (mean silhouette over its modes) in ascending order.

    table : columns prompt, mode, silhouette (-1 to 1, no unit); one row a point. The grey band runs from a
    prompt's weakest mode to its strongest. named : how many of the weakest prompts are named by their id.

    Example
    -------
    >>> import pandas as pd
    >>> from margin import figures
    >>> table = pd.DataFrame(
    ...     {"prompt": ["a", "a", "b", "b"], "mode": ["pos", "neg"] * 2, "silhouette": [0.3, 0.2, 0.1, 0.4]}
    ... )
    >>> ax = figures.prompt_waterfall(table, figures.figure().add_subplot())
    >>> ax.get_ylabel()
    'silhouette (−1 to 1)'
    """
    data = checked(table, "silhouette", ["prompt", "mode"], ["silhouette"])
    unique(data, "silhouette", ["prompt", "mode"])
    within(data, "silhouette", "silhouette", -1, 1)
    margins = (
        data.groupby("prompt")["silhouette"].agg(["mean", "min", "max"]).sort_values("mean", kind="stable")
    )
    n = len(margins)
    edges = np.arange(n + 1) + 0.5
    ax.stairs(
        margins["max"],
        edges,
        baseline=margins["min"],
        fill=True,
        color=FILL,
        lw=0,
        label="weakest to strongest mode",
    )
    ax.stairs(
        margins["mean"],
        edges,
        baseline=None,
        color=INK,
        linewidth=mpl.rcParams["lines.linewidth"],
        label="margin",
    )
    ax.axhline(0, color=MUTED, linewidth=mpl.rcParams["axes.linewidth"])
    weakest = "weakest: " + ", ".join(label(prompt, 18) for prompt in margins.index[:named])
    below = int((margins["mean"] < 0).sum())
    ax.set(
        xlabel=noted(
            f"prompts in order of margin (n = {n:,}; {below:,} below 0)", [weakest] if named else []
        ),
        ylabel="silhouette (−1 to 1)",
        title=title,
        xlim=(0.5, n + 0.5),
    )
    legend_above(ax)
    return ax
