"""Plots: pandas tables and a matplotlib Axes in, the Axes out. Nothing here knows of `margin`.

Example
-------
>>> import pandas as pd
>>> from margin.figures import figure, layer_curve, save, style
>>> table = pd.DataFrame(
...     {"layer": [0, 1, 2], "estimate": [0.02, 0.1, 0.2], "low": [0.0, 0.1, 0.2], "high": [0.1, 0.2, 0.3]}
... )
>>> with style("paper"):
...     fig = figure("single")
...     ax = layer_curve(table, fig.add_subplot())
...     path = save(fig, "layers.pdf")
"""

import margin.figures.backend  # noqa: F401 - before anything imports matplotlib
from margin.figures.association import association, risk_coverage
from margin.figures.caption import caption_of, take_notes, take_titles
from margin.figures.curves import layer_curve, position_curve, trajectory
from margin.figures.decoys import decoy_strips
from margin.figures.fit import fit
from margin.figures.forest import forest_height, slice_forest
from margin.figures.guessing import guessing_curve
from margin.figures.overview import overview
from margin.figures.pairs import pair_heatmap
from margin.figures.probes import probe_curve
from margin.figures.projection import Projection, project, seed_range
from margin.figures.quality import Quality
from margin.figures.robustness import robustness, robustness_height
from margin.figures.save import rendered, save
from margin.figures.scatter import draw_projection, projection_panels, scatter
from margin.figures.silhouettes import silhouette_ecdf, silhouette_plot, silhouette_strips
from margin.figures.style import figure, mode_looks, mode_order, style
from margin.figures.tables import Facts, latex_table, markdown_table
from margin.figures.trace import dose_response, trace_curves, trace_effect
from margin.figures.waterfall import prompt_waterfall

__all__ = [
    "Facts",
    "Projection",
    "Quality",
    "association",
    "caption_of",
    "decoy_strips",
    "dose_response",
    "draw_projection",
    "figure",
    "fit",
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
    "risk_coverage",
    "robustness",
    "robustness_height",
    "save",
    "scatter",
    "seed_range",
    "silhouette_ecdf",
    "silhouette_plot",
    "silhouette_strips",
    "slice_forest",
    "style",
    "take_notes",
    "take_titles",
    "trace_curves",
    "trace_effect",
    "trajectory",
]
