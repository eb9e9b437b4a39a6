"""A guesser's chances: tries against the chance of an opening."""

from __future__ import annotations

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from margin.figures.canvas import on_canvas
from margin.figures.columns import INTERVAL, checked
from margin.figures.fit import legend_above
from margin.figures.style import Look
from margin.figures.text import label

GREYS = ("#222222", "#555555", "#767676", "#999999")
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")
LINES = ("-", "--", "-.", ":")
"""Looks of the curves, darkest for the first: colour belongs to the modes."""
MOST_TICKS = 8


@on_canvas
def guessing_curve(
    table: pd.DataFrame,
    ax: Axes,
    *,
    title: str = "What a guess is worth",
    ylabel: str = "chance that one opens",
) -> Axes:
    """Draw the chance that one of so many tries opens, with its interval, a line for what is known.

    table : columns tries (int), known (a name), estimate, low, high; one row a number of tries and name.
    Lines stand a little beside each other, so that none hides another's interval.

    Example
    -------
    >>> import pandas as pd
    >>> from margin import figures
    >>> table = pd.DataFrame(
    ...     {"tries": [1, 2], "known": "nothing", "estimate": [0.1, 0.2], "low": 0.0, "high": [0.2, 0.3]}
    ... )
    >>> figures.guessing_curve(table, figures.figure().add_subplot()).get_xlabel()
    'tries'
    """
    data = checked(table, "guesses", ["known"], ["tries", *INTERVAL])
    lines = data["known"].nunique()
    beside = min(0.07, 0.5 / lines)  # in powers of two
    for number, (known, part) in enumerate(data.groupby("known", sort=False)):
        look = Look(GREYS[number % len(GREYS)], MARKERS[number % len(MARKERS)], LINES[number % len(LINES)])
        part = part.sort_values("tries")
        at = part["tries"] * 2 ** (beside * (number - (lines - 1) / 2))
        ax.vlines(at, part["low"], part["high"], color=look.colour, linewidth=mpl.rcParams["axes.linewidth"])
        ax.plot(
            at,
            part["estimate"],
            color=look.colour,
            marker=look.marker,
            linestyle=look.line,
            label=label(str(known), 28),
        )
    ax.set_xscale("log", base=2)
    tries = sorted(set(data["tries"]))
    ax.xaxis.set_major_locator(FixedLocator(tries[:: -(-len(tries) // MOST_TICKS)]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.set(xlabel="tries", ylabel=ylabel, title=title, ylim=(-0.02, 1.02))
    legend_above(ax)
    return ax
