"""Points of a run in two dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.lines import Line2D

from margin.figures.canvas import on_canvas
from margin.figures.caption import noted
from margin.figures.columns import checked
from margin.figures.fit import legend_above
from margin.figures.projection import Projection
from margin.figures.quality import seed_range_words
from margin.figures.style import mode_looks
from margin.figures.text import label

_LAYERS = 10
"""Rounds in which the modes are drawn by turns, so that none hides another for coming last."""
_RASTER_FROM = 2000
"""Points from which a vector file holds the cloud as an image: thousands of markers make a PDF slow to
open.
"""
_TITLES = {
    "pca": "PCA",
    "lda": "cross-fitted LDA",
    "tsne": "t-SNE",
    "umap": "UMAP",
}


@on_canvas
def scatter(
    table: pd.DataFrame,
    ax: Axes,
    *,
    axis_names: tuple[str, str] = ("x", "y"),
    modes: Sequence[str] | None = None,
    title: str = "Where the modes lie",
    metric: bool = True,
) -> Axes:
    """Draw one marker a point, coloured and shaped by mode.

    table : columns mode, x, y; one row a point (as `Projection.table` gives). modes : all modes of the paper,
    so that looks agree between figures; by default those of the table. metric : whether lengths mean
    something along both axes (PCA, LDA); they then share one scale. False hides the ticks, as for t-SNE and
    UMAP.

    Example
    -------
    >>> import pandas as pd
    >>> from margin import figures
    >>> table = pd.DataFrame({"mode": ["pos", "neg"], "x": [0.0, 1.0], "y": [1.0, 0.0]})
    >>> ax = figures.scatter(table, figures.figure().add_subplot())
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['pos (1)', 'neg (1)']
    """
    # In the order of their places: in a vector format that of the table would say which point is which.
    data = checked(table, "projection", ["mode"], ["x", "y"]).sort_values(["x", "y"], ignore_index=True)
    looks = mode_looks(modes or data["mode"])
    size = mpl.rcParams["lines.markersize"] * float(np.clip((300 / len(data)) ** 0.4, 0.45, 1.1))
    rounds = np.random.default_rng(0).integers(_LAYERS, size=len(data))
    for turn in range(_LAYERS):
        for mode, group in data[rounds == turn].groupby("mode", sort=True):
            look = looks[str(mode)]
            ax.plot(
                group["x"],
                group["y"],
                linestyle="",
                marker=look.marker,
                markersize=size,
                color=look.colour,
                markeredgecolor="white",
                markeredgewidth=size * 0.08,
                alpha=0.85,
                rasterized=len(data) >= _RASTER_FROM,
            )
    counts = data["mode"].value_counts()
    handles = [
        Line2D(
            [],
            [],
            linestyle="",
            marker=look.marker,
            color=look.colour,
            label=f"{label(mode, 16)} ({counts[mode]:,})",
        )
        for mode, look in looks.items()
        if mode in counts
    ]
    ax.set(xlabel=axis_names[0], ylabel=axis_names[1], title=title)
    legend_above(ax, handles)
    ax.margins(0.05)
    if metric:
        ax.set_aspect("equal", adjustable="datalim")
    else:
        ax.set(xticks=[], yticks=[])
    return ax


@on_canvas
def projection_panels(
    fig: FigureBase,
    projections: Sequence[Projection],
    *,
    modes: Sequence[str] | None = None,
    seeds: Sequence[pd.DataFrame] = (),
) -> list[Axes]:
    """Draw projections side by side with the numbers that say what each picture keeps; returns their Axes.

    Usual: the raw points and the prompt-centred ones, since differences between prompts hide the modes, and a
    layout by neighbours groups the points of a prompt. seeds : a table of `seed_range` for each projection,
    whose ranges are written beneath. Raises ValueError without projections.

    Example
    -------
    >>> import numpy as np
    >>> from margin import figures
    >>> rng = np.random.default_rng(0)
    >>> modes, prompts = ["neg", "pos"] * 30, np.repeat(range(30), 2)
    >>> X = rng.normal(size=(60, 4)) + np.tile([[0.0], [2.0]], (30, 4))
    >>> raw = figures.project(X, modes, prompts)
    >>> centred = figures.project(X, modes, prompts, centre_prompts=True)
    >>> len(figures.projection_panels(figures.figure("double"), [raw, centred]))
    2
    """
    if not projections:
        raise ValueError("no projections to draw: hand over at least one")
    axes = [fig.add_subplot(1, len(projections), i + 1) for i in range(len(projections))]
    for ax, projection, ranges in zip_longest(axes, projections, seeds):
        draw_projection(projection, ax, modes=modes, seeds=ranges)
    return axes


@on_canvas
def draw_projection(
    projection: Projection,
    ax: Axes,
    *,
    modes: Sequence[str] | None = None,
    seeds: pd.DataFrame | None = None,
) -> Axes:
    """Draw one projection with its quality written beneath, and the range of that over `seeds`.

    Example
    -------
    >>> import numpy as np
    >>> from margin import figures
    >>> rng = np.random.default_rng(0)
    >>> modes, prompts = ["neg", "pos"] * 30, np.repeat(range(30), 2)
    >>> X = rng.normal(size=(60, 4)) + np.tile([[0.0], [2.0]], (30, 4))
    >>> found = figures.project(X, modes, prompts)
    >>> ax = figures.draw_projection(found, figures.figure().add_subplot())
    >>> print(ax.get_xlabel())
    PC 1 (64% of variance)
    silhouette: full 0.37, here 0.46
    ...
    """
    points = "prompt-centred" if projection.centred else "raw"
    ranges = [] if seeds is None else [seed_range_words(seeds)]
    if projection.drawn_of is not None:
        ranges.append(
            f"{len(projection.modes):,} of {projection.drawn_of:,} points drawn, whole prompts at random"
        )
    scatter(
        projection.table(),
        ax,
        axis_names=projection.axis_names,
        modes=modes,
        title=f"Modes by {_TITLES[projection.method]}, {points}",
        metric=projection.method in ("pca", "lda"),
    )
    ax.set_xlabel(
        noted(projection.axis_names[0], [str(projection.quality), *ranges]),
        loc="left",
        linespacing=1.4,
        fontsize=mpl.rcParams["xtick.labelsize"],
    )
    return ax
