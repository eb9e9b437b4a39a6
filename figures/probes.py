"""What probes read off each layer: accuracy beside what guessing gives, and selectivity."""

from __future__ import annotations

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes

from margin.arguments import require_number
from margin.figures.canvas import on_canvas
from margin.figures.curves import layer_curve
from margin.figures.fit import legend_above
from margin.figures.style import MUTED


@on_canvas
def probe_curve(
    table: pd.DataFrame, ax: Axes, *, chance: float | None = None, title: str = "Mode probe by layer"
) -> Axes:
    """Draw accuracy and selectivity with their bands over layers.

    table : columns layer (int), quantity ("accuracy", "selectivity"), estimate, low, high. chance : accuracy
    of guessing, drawn as a line.

    Example
    -------
    >>> import pandas as pd
    >>> from margin import figures
    >>> table = pd.DataFrame(
    ...     {"layer": [0, 4], "estimate": [0.4, 0.9], "low": [0.3, 0.8], "high": [0.5, 1.0]}
    ... ).assign(quantity="accuracy")
    >>> ax = figures.probe_curve(table, figures.figure().add_subplot(), chance=1 / 3)
    >>> ax.get_xlabel()
    'layer (0 = embeddings)'
    """
    if chance is not None:
        require_number(chance, "chance", 0, 1)
    layer_curve(table, ax, series="quantity", title=title, ylabel="share of points")
    if chance is not None:
        width = mpl.rcParams["axes.linewidth"]
        ax.axhline(
            chance,
            color=MUTED,
            linewidth=width,
            linestyle=(0, (4, 3)),
            zorder=0,
            label=f"chance ({chance:.2f})",
        )
        legend_above(ax)
    return ax
