"""What in a model decides the mode: patched and cut rows by layer, and steered rows by dose."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from margin.figures.canvas import on_canvas
from margin.figures.caption import noted
from margin.figures.columns import INTERVAL, checked, unique
from margin.figures.fit import legend_above
from margin.figures.style import FILL, INK, MUTED, Look
from margin.figures.text import label

_TRACED: Mapping[str, tuple[str, Look]] = {
    "patched": ("patched: lands with the donor", Look(INK, "o", "-")),
    "cut": ("cut: keeps its mode", Look("#3568a8", "s", "--")),
    "effect": ("live tokens", Look(INK, "o", "-")),
}
_WAYS: Mapping[str, tuple[str, Look]] = {
    "direction": ("along the direction", Look(INK, "o", "-")),
    "random": ("random direction", Look(MUTED, "^", ":")),
    "decoys": ("between two decoys", Look("#a05a2c", "D", "-.")),
    "permuted": ("modes permuted", Look("#3568a8", "s", "--")),
}


@on_canvas
def trace_curves(
    table: pd.DataFrame,
    ax: Axes,
    *,
    decoys: pd.DataFrame | None = None,
    probe: pd.DataFrame | None = None,
    handover: tuple[float, float] | None = None,
    title: str = "What decides the mode",
) -> Axes:
    """Draw shares of patched and cut rows with their bands over layers.

    table : columns layer (int), curve ("patched", "cut"), estimate, low, high. decoys : columns layer, low
    and high, the least and the largest share of patched rows over sets of meaningless tokens, a grey area
    behind. probe : columns layer and estimate, what a probe reads off each layer, a grey line. handover :
    first and last layer of the interval where patched rows go over to the donor, marked below.

    Example
    -------
    >>> from margin import figures
    >>> table = pd.DataFrame(
    ...     {"layer": [0, 1], "estimate": [0.0, 0.9], "low": [0.0, 0.8], "high": [0.1, 1.0]}
    ... ).assign(curve="patched")
    >>> figures.trace_curves(table, figures.figure().add_subplot()).get_ylabel()
    'share of rows'
    """
    if decoys is not None:
        _area(decoys, ax, "patched, meaningless tokens")
    if probe is not None:
        its = probe.sort_values("layer")
        ax.plot(its["layer"], its["estimate"], color=MUTED, linestyle=":", label="read by a probe", zorder=1)
    _lines(table, ax, "layer", "curve", _TRACED)
    if handover is not None:
        thick = 3 * mpl.rcParams["axes.linewidth"]
        low, high = handover[0] - 0.1, handover[1] + 0.1
        ax.plot([low, high], [-0.045, -0.045], color=INK, linewidth=thick, solid_capstyle="butt")
    ax.set_ylim(-0.08, 1.05)
    marked = [] if handover is None else ["bar at the bottom: where patched rows go over to the donor"]
    ax.set(xlabel=noted("layer (0 = embeddings)", marked), ylabel="share of rows", title=title)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_above(ax)
    return ax


@on_canvas
def trace_effect(
    table: pd.DataFrame,
    ax: Axes,
    *,
    decoys: pd.DataFrame,
    title: str = "How far a patch carries the answer",
) -> Axes:
    """Draw how far patched rows' logits go towards the donor's, beside what meaningless tokens give.

    table : columns layer (int), estimate; 1 is the distance between two live modes. decoys : columns layer,
    low and high, the least and the largest over sets of meaningless tokens.

    Example
    -------
    >>> from margin import figures
    >>> live = pd.DataFrame({"layer": [0, 1], "estimate": [0.0, 1.0]})
    >>> decoys = pd.DataFrame({"layer": [0, 1], "low": [0.0, 0.1], "high": [0.0, 0.2]})
    >>> figures.trace_effect(live, figures.figure().add_subplot(), decoys=decoys).get_xlabel()
    'layer (0 = embeddings)'
    """
    _area(decoys, ax, "meaningless tokens")
    live = table.assign(curve="effect").assign(low=np.nan, high=np.nan)
    _lines(live, ax, "layer", "curve", _TRACED)
    ax.axhline(0, color=MUTED, linewidth=mpl.rcParams["axes.linewidth"], zorder=0)
    ax.set(xlabel="layer (0 = embeddings)", ylabel="distance to the donor covered", title=title)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_above(ax)
    return ax


@on_canvas
def dose_response(
    table: pd.DataFrame, ax: Axes, *, title: str = "Steered by a direction", legend: bool = True
) -> Axes:
    """Draw the share of steered rows that land where they are steered to, by dose and kind of direction.

    table : columns dose, control ("direction", "random", "decoys", "permuted"), estimate, low, high.

    Example
    -------
    >>> from margin import figures
    >>> table = pd.DataFrame(
    ...     {"dose": [0.5, 1.0], "estimate": [0.1, 0.9], "low": [0.0, 0.8], "high": [0.2, 1.0]}
    ... ).assign(control="direction")
    >>> figures.dose_response(table, figures.figure().add_subplot()).get_xlabel()
    'dose (1: the difference between two modes)'
    """
    _lines(table, ax, "dose", "control", _WAYS)
    ax.set_ylim(-0.04, 1.04)
    ax.set(xlabel="dose (1: the difference between two modes)", ylabel="lands where steered", title=title)
    if legend:
        legend_above(ax)
    return ax


def _area(table: pd.DataFrame, ax: Axes, name: str) -> None:
    its = checked(table, "decoys", [], ["layer", "low", "high"]).sort_values("layer")
    ax.fill_between(its["layer"], its["low"], its["high"], color=FILL, lw=0, zorder=0, label=name)


def _lines(
    table: pd.DataFrame, ax: Axes, along: str, series: str, looks: Mapping[str, tuple[str, Look]]
) -> None:
    data = checked(table, "trace", [series], [along, *INTERVAL])
    unique(data, along, [along, series])
    size = mpl.rcParams["lines.markersize"] * (0.8 if data[along].nunique() <= 15 else 0.55)
    for name in dict.fromkeys(data[series]):
        words, look = looks[name]
        part = data[data[series] == name].sort_values(along)
        ax.plot(
            part[along],
            part["estimate"],
            color=look.colour,
            linestyle=look.line,
            marker=look.marker,
            markersize=size,
            label=label(words, 40),
            zorder=3,
        )
        ax.fill_between(part[along], part["low"], part["high"], color=look.colour, alpha=0.18, lw=0, zorder=2)
        width = mpl.rcParams["axes.linewidth"]
        ax.vlines(part[along], part["low"], part["high"], color=look.colour, linewidth=width, zorder=2)
