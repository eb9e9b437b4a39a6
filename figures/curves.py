"""Margins along an order: over the layers of a model, over the checkpoints of a training."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from margin.figures.canvas import on_canvas
from margin.figures.caption import noted
from margin.figures.columns import INTERVAL, checked, unique, whole
from margin.figures.fit import legend_above
from margin.figures.intervals import decimals
from margin.figures.style import MUTED, Look, mode_looks
from margin.figures.text import label

_VARIANTS = {
    "leave_prompt_out": Look("#222222", "o", "-"),
    "prompt_centred": Look("#767676", "D", "--"),
    "plain": Look("#a0a0a0", "s", ":"),
    "accuracy": Look("#222222", "o", "-"),
    "selectivity": Look("#767676", "D", "--"),
}
"""Looks of the variants of the margin and of what probes find: greys, since colour belongs to the modes."""


@on_canvas
def layer_curve(
    table: pd.DataFrame,
    ax: Axes,
    *,
    series: str | None = None,
    null: float | None = None,
    decoys: pd.DataFrame | None = None,
    notes: Sequence[str] = (),
    title: str = "Margin by layer",
    ylabel: str = "silhouette (−1 to 1)",
) -> Axes:
    """Draw a value with its band over layers.

    table : columns layer (int), estimate, low, high; one row a layer, and per value of `series` where that
    names a column (for example variant or mode). Where low or high is missing there is no band. null : mean
    under permuted modes, drawn as a line. decoys : columns layer, low and high (and `series`): the range of
    sets of meaningless tokens, drawn as a grey band behind. notes : lines below the axis.

    Example
    -------
    >>> import pandas as pd
    >>> from margin import figures
    >>> table = pd.DataFrame(
    ...     {"layer": [0, 1], "estimate": [0.02, 0.14], "low": [0.0, 0.12], "high": [0.04, 0.16]}
    ... )
    >>> ax = figures.layer_curve(table, figures.figure().add_subplot())
    >>> ax.get_xlabel()
    'layer (0 = embeddings)'
    """
    if decoys is not None:
        _behind(decoys, ax, series)
    _along_steps(table, ax, "layer", series, null)
    ax.set(xlabel=noted("layer (0 = embeddings)", notes), ylabel=ylabel, title=title)
    legend_above(ax)
    return ax


@on_canvas
def position_curve(
    table: pd.DataFrame,
    ax: Axes,
    *,
    series: str | None = None,
    null: float | None = None,
    title: str = "Margin along the response",
    ylabel: str = "silhouette (−1 to 1)",
) -> Axes:
    """Draw a value with its band over response positions.

    table : columns position (int, 1 the first token of the response), estimate, low, high; else as for
    `layer_curve`.

    Example
    -------
    >>> import pandas as pd
    >>> from margin import figures
    >>> table = pd.DataFrame(
    ...     {"position": [1, 2], "estimate": [0.2, 0.3], "low": [0.1, 0.2], "high": [0.3, 0.4]}
    ... )
    >>> ax = figures.position_curve(table, figures.figure().add_subplot())
    >>> ax.get_xlabel()
    'response position (1 = first token)'
    """
    _along_steps(table, ax, "position", series, null)
    ax.set(xlabel="response position (1 = first token)", ylabel=ylabel, title=title)
    legend_above(ax)
    return ax


@on_canvas
def trajectory(
    table: pd.DataFrame,
    ax: Axes,
    *,
    series: str | None = None,
    null: float | None = None,
    title: str = "Margin over training",
    xlabel: str = "checkpoint",
    ylabel: str = "silhouette (−1 to 1)",
) -> Axes:
    """Draw a value with its interval over checkpoints.

    table : columns checkpoint, estimate, low, high; one row a checkpoint, and per value of `series`. Numeric
    checkpoints (steps, tokens: say which in `xlabel`) lie to scale; names lie evenly in the order of the
    table.

    Example
    -------
    >>> import pandas as pd
    >>> from margin import figures
    >>> table = pd.DataFrame(
    ...     {"checkpoint": [100, 200], "estimate": [0.1, 0.3], "low": [0.05, 0.25], "high": [0.15, 0.35]}
    ... )
    >>> ax = figures.trajectory(table, figures.figure().add_subplot(), xlabel="steps")
    >>> ax.get_xlabel()
    'steps'
    """
    data = checked(table, "trajectory", [series] if series else [], list(INTERVAL))
    if "checkpoint" not in data:
        raise ValueError("the trajectory table lacks checkpoint: it needs checkpoint, estimate, low, high")
    names: list[str] = []
    if not pd.api.types.is_numeric_dtype(data["checkpoint"]):
        names = list(dict.fromkeys(data["checkpoint"].astype(str)))
        data["checkpoint"] = data["checkpoint"].astype(str).map({name: i for i, name in enumerate(names)})
    data = checked(data, "trajectory", [], ["checkpoint"])
    _curves(data, ax, "checkpoint", series)
    _finish(ax, null)
    if names:
        ax.set_xticks(range(len(names)), [label(name, 14) for name in names])
        if len(names) > 5:
            ax.tick_params(axis="x", rotation=35)
            for tick in ax.get_xticklabels():
                tick.set(ha="right", rotation_mode="anchor")
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    legend_above(ax)
    return ax


def _along_steps(table: pd.DataFrame, ax: Axes, along: str, series: str | None, null: float | None) -> None:
    """Curves over a column of whole numbers, which is what the table is called by, too."""
    data = checked(table, along, [series] if series else [], [along, *INTERVAL])
    whole(data, along, along)
    _curves(data, ax, along, series)
    _finish(ax, null)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def _curves(data: pd.DataFrame, ax: Axes, along: str, series: str | None) -> None:
    """One line with marker and band for each value of `series`, or a single one."""
    unique(data, along, [along, series] if series else [along])
    groups: Sequence[str] = list(dict.fromkeys(data[series])) if series else [""]
    if all(group in _VARIANTS for group in groups):
        looks = {group: _VARIANTS[group] for group in groups}
    else:
        looks = mode_looks(groups) if series else {"": _VARIANTS["leave_prompt_out"]}
    size = mpl.rcParams["lines.markersize"] * (0.8 if data[along].nunique() <= 15 else 0.55)
    for group, look in looks.items():
        part = (data[data[series] == group] if series else data).sort_values(along)
        x = part[along].to_numpy()
        ax.plot(
            x,
            part["estimate"],
            color=look.colour,
            linestyle=look.line,
            marker=look.marker,
            markersize=size,
            label=label(group.replace("_", "-"), 20) if group else None,
        )
        ax.fill_between(x, part["low"], part["high"], color=look.colour, alpha=0.18, lw=0)
        # A band between single points has no width: whiskers show it too.
        ax.vlines(x, part["low"], part["high"], color=look.colour, linewidth=mpl.rcParams["axes.linewidth"])


def _behind(sets: pd.DataFrame, ax: Axes, series: str | None) -> None:
    """A grey band for each value of `series`, with the line of its curve along its edges."""
    data = checked(sets, "layer", [series] if series else [], ["layer", "low", "high"])
    unique(data, "layer", ["layer", series] if series else ["layer"])
    thin = float(mpl.rcParams["axes.linewidth"])
    for group in dict.fromkeys(data[series]) if series else [""]:
        part = (data[data[series] == group] if series else data).sort_values("layer")
        line = _VARIANTS.get(group, _VARIANTS["leave_prompt_out"]).line
        ax.fill_between(part["layer"], part["low"], part["high"], color=MUTED, alpha=0.3, lw=0, zorder=0.5)
        for edge in ("low", "high"):
            ax.plot(part["layer"], part[edge], color=MUTED, linestyle=line, linewidth=thin, zorder=0.6)
    ax.fill_between([], [], color=MUTED, alpha=0.3, lw=0, label="sets of decoys")


def _finish(ax: Axes, null: float | None) -> None:
    """Zero line and the null's mean."""
    ax.axhline(0, color=MUTED, linewidth=mpl.rcParams["axes.linewidth"], zorder=0)
    if null is not None:
        dashed = {"linewidth": mpl.rcParams["axes.linewidth"], "linestyle": (0, (4, 3)), "zorder": 0}
        ax.axhline(null, color=MUTED, label=f"permuted modes ({decimals(null, 2)})", **dashed)
