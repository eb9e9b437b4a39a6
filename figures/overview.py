"""One page that shows a run at a glance."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from string import ascii_lowercase

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from margin.figures.curves import layer_curve
from margin.figures.forest import forest_height, slice_forest
from margin.figures.pairs import pair_heatmap
from margin.figures.projection import Projection
from margin.figures.robustness import robustness, robustness_height
from margin.figures.scatter import draw_projection
from margin.figures.silhouettes import silhouette_plot
from margin.figures.style import WIDTHS
from margin.figures.text import label
from margin.figures.waterfall import prompt_waterfall

_PROJECTION, _ROW = 3.05, 2.2
"""Inches of a row of projections and of another, at 8 pt type: two and three fill a page."""
_SLICES, _CONDITIONS = 5, 6
"""Slices and conditions of a panel at most."""


def overview(
    title: str,
    *,
    silhouettes: pd.DataFrame,
    estimates: pd.DataFrame | None = None,
    projections: tuple[Projection, ...] = (),
    pairs: pd.DataFrame | None = None,
    layers: pd.DataFrame | None = None,
    slices: pd.DataFrame | None = None,
    landing: pd.DataFrame | None = None,
    leaks: pd.DataFrame | None = None,
    overall: float | None = None,
    null: float | None = None,
    width: float | None = None,
    across: int = 2,
) -> Figure:
    """Draw what is known of one run, `across` panels a row, `width` inches wide or else as two columns are.

    silhouettes, estimates : as for `silhouette_plot`. projections : as for `draw_projection`; two (raw and
    prompt-centred) fit a page with all the rest. pairs, landing, leaks : as for `pair_heatmap`, `robustness`.
    layers : as for `layer_curve`, with one line for each value of the column variant where there is one;
    null : the mean under permuted modes. slices : as for `slice_forest`, of which the weakest five are drawn;
    overall : margin of all prompts. What is not handed over has no panel.

    Example
    -------
    >>> import pandas as pd
    >>> from margin import figures
    >>> points = pd.DataFrame(
    ...     {"prompt": ["a", "a", "b", "b"], "mode": ["pos", "neg"] * 2, "silhouette": [0.3, 0.2, 0.1, 0.4]}
    ... )
    >>> pairs = pd.DataFrame(
    ...     {"first": ["pos"], "second": ["neg"], "estimate": [0.2], "low": [0.1], "high": [0.3]}
    ... )
    >>> fig = figures.overview("a checkpoint", silhouettes=points, pairs=pairs)
    >>> len(fig.axes) >= 2  # a panel for each table
    True
    """
    high: dict[int, float] = {}
    """Inches that a panel needs, by its place."""
    panels: list[Callable[[Axes], Axes]] = [
        partial(draw_projection, projection) for projection in projections
    ]
    panels += [
        partial(silhouette_plot, silhouettes, estimates=estimates),
        partial(prompt_waterfall, silhouettes),
    ]
    if pairs is not None:
        panels.append(partial(pair_heatmap, pairs))
    if layers is not None:
        panels.append(
            partial(layer_curve, layers, series="variant" if "variant" in layers else None, null=null)
        )
    if slices is not None:
        high[len(panels)] = forest_height(min(_SLICES, len(slices)))
        panels.append(partial(slice_forest, slices, overall=overall, most=_SLICES))
    if landing is not None:
        shown = min(_CONDITIONS, landing["condition"].nunique())
        high[len(panels)] = robustness_height(shown)
        panels.append(partial(robustness, landing, leaks=leaks, most=_CONDITIONS))
    rows = -(-len(panels) // across)
    scale = float(mpl.rcParams["font.size"]) / 8
    # Projections need more height than the rest, for the numbers beneath them.
    heights = [
        _PROJECTION * scale if across * row < len(projections) else _ROW * scale for row in range(rows)
    ]
    for panel, height in high.items():
        heights[panel // across] = max(heights[panel // across], height)
    fig = Figure(
        figsize=(width or WIDTHS["double"] * scale, sum(heights) + 0.3 * scale), layout="constrained"
    )
    fig.suptitle(label(title, 90), x=0.01, ha="left", fontsize=mpl.rcParams["font.size"] * 1.2)
    # A subfigure each, so that the long labels of one panel do not narrow the others.
    cells = fig.subfigures(rows, across, squeeze=False, height_ratios=heights).flat
    for letter, draw, cell in zip(ascii_lowercase, panels, cells, strict=False):
        ax = draw(cell.add_subplot())
        for side in ("left", "center"):
            if ax.get_title(loc=side):
                ax.set_title(f"({letter}) {ax.get_title(loc=side)}", loc=side)
    return fig
