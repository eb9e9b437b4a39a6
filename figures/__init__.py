"""Plots: pandas tables and a matplotlib Axes in, the Axes out. Nothing here knows of `margin`.

Example
-------
>>> import pandas as pd
>>> from figures import figure, layer_curve, save, style
>>> table = pd.DataFrame(
...     {"layer": [0, 1, 2], "estimate": [0.02, 0.1, 0.2], "low": [0.0, 0.1, 0.2], "high": [0.1, 0.2, 0.3]}
... )
>>> with style("paper"):
...     fig = figure("single")
...     ax = layer_curve(table, fig.add_subplot())
...     path = save(fig, "layers.pdf")
"""

import figures.backend  # noqa: F401 - before anything imports matplotlib
from figures.curves import layer_curve, position_curve, trajectory
from figures.decoys import decoy_strips
from figures.forest import forest_height, slice_forest
from figures.guessing import guessing_curve
from figures.overview import overview
from figures.pairs import pair_heatmap
from figures.probes import probe_curve
from figures.projection import Projection, project, seed_range
from figures.quality import Quality
from figures.robustness import robustness
from figures.save import rendered, save
from figures.scatter import draw_projection, projection_panels, scatter
from figures.silhouettes import silhouette_ecdf, silhouette_plot, silhouette_strips
from figures.style import figure, mode_looks, mode_order, style
from figures.tables import Facts, latex_table, markdown_table
from figures.trace import dose_response, trace_curves, trace_effect
from figures.waterfall import prompt_waterfall

__all__ = [
    "Facts",
    "Projection",
    "Quality",
    "decoy_strips",
    "dose_response",
    "draw_projection",
    "figure",
    "forest_height",
    "guessing_curve",
    "latex_table",
    "layer_curve",
    "markdown_table",
    "mode_looks",
    "mode_order",
    "overview",
    "pair_heatmap",
    "position_curve",
    "probe_curve",
    "project",
    "projection_panels",
    "prompt_waterfall",
    "rendered",
    "robustness",
    "save",
    "scatter",
    "seed_range",
    "silhouette_ecdf",
    "silhouette_plot",
    "silhouette_strips",
    "slice_forest",
    "style",
    "trace_curves",
    "trace_effect",
    "trajectory",
]
