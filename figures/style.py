"""Styles for print and slides, and one look (colour, marker, line) per mode.

Nothing here changes matplotlib for good: a style lives as long as its `with` block.

    with style("paper"):
        fig = figure(width="single")
        scatter(projection.table(), ax=fig.add_subplot())
        save(fig, "projection.pdf")
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.figure import Figure

from margin.figures.text import font_families

StyleName = Literal["paper", "talk"]
Width = Literal["single", "double", "slide"]

WIDTHS: dict[Width, float] = {"single": 3.35, "double": 6.9, "slide": 11.0}
"""Figure widths in inches: one and two columns of a usual conference page, and a 16:9 slide's text area."""

INK = "#222222"
"""Text, axes and edges."""
MUTED = "#767676"
"""Reference lines and secondary text; 4.5:1 on white."""
FILL = "#d0d5da"
"""Areas that carry no mode."""

_SIZES: dict[StyleName, tuple[float, float, float]] = {"paper": (8.0, 7.0, 1.2), "talk": (18.0, 15.0, 2.4)}


@contextmanager
def style(name: StyleName = "paper") -> Iterator[None]:
    """Draw in this style inside the `with` block; matplotlib's settings come back at its end.

    `paper`: 7-8 pt type for a figure placed at its own width. `talk`: 15-18 pt for slides.
    Raises ValueError for another name.

    Example
    -------
    >>> from margin import figures
    >>> with figures.style("talk"):
    ...     fig = figures.figure("slide")
    """
    if name not in _SIZES:
        raise ValueError(f"style {name!r} is unknown: choose one of {', '.join(_SIZES)}")
    size, small, line = _SIZES[name]
    settings: dict[Any, Any] = {
        "font.family": font_families(),
        "font.size": size,
        "axes.titlesize": 1.15
        * size,  # no bold: many CJK fonts have none, and matplotlib would complain at every title
        "axes.titlelocation": "left",
        "axes.labelsize": size,
        "xtick.labelsize": small,
        "ytick.labelsize": small,
        "legend.fontsize": small,
        "legend.frameon": False,
        "legend.handlelength": 1.8,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": line / 2,
        "xtick.major.width": line / 2,
        "ytick.major.width": line / 2,
        "xtick.major.size": 2.5 * line,
        "ytick.major.size": 2.5 * line,
        "lines.linewidth": line,
        "lines.markersize": 3.4 * line,
        "hatch.linewidth": line / 2,
        "axes.axisbelow": True,
    }
    with mpl.rc_context(settings):
        yield


def figure(width: Width | float = "single", height: float | None = None) -> Figure:
    """New empty figure of a named width, or of one in inches; `height` in inches, by default 0.75 (slide:
    0.56) of the width.

    It belongs to no pyplot window, so nothing has to be closed. Raises ValueError for an unknown width.

    Example
    -------
    >>> from margin import figures
    >>> with figures.style("paper"):
    ...     figures.figure("single").get_size_inches().round(2).tolist()
    [3.35, 2.51]
    """
    if isinstance(width, str) and width not in WIDTHS:
        raise ValueError(f"width {width!r} is unknown: choose one of {', '.join(WIDTHS)}")
    inches = WIDTHS[width] if isinstance(width, str) else width
    return Figure(
        figsize=(inches, height or inches * (0.56 if width == "slide" else 0.75)), layout="constrained"
    )


@dataclass(frozen=True)
class Look:
    """How one mode is drawn everywhere."""

    colour: str
    """Hex colour."""
    marker: str
    """matplotlib marker; doubles the colour in scatter plots and lines."""
    line: str | tuple[float, tuple[float, ...]]
    """matplotlib line style; doubles the colour where no marker is drawn."""


# Paul Tol's "high-contrast" scheme (Colour Schemes, SRON/EPS/TN/09-002): told apart by colour-blind readers
# and, since their lightness differs, in grey print.
_KNOWN = {
    "pos": Look("#004488", "o", "-"),
    "neg": Look("#bb5566", "^", "--"),
    "rej": Look("#ddaa33", "s", ":"),
}
# Further modes: Paul Tol's "muted" scheme.
_COLOURS = ("#117733", "#aa4499", "#33bbee", "#999933", "#882255", "#44aa99")
_MARKERS = ("D", "v", "P", "X", "p", "<", ">", "*", "h")
_LINES: tuple[tuple[float, tuple[float, ...]], ...] = (
    (0, (6, 2)),
    (0, (3, 1, 1, 1)),
    (0, (1, 1)),
    (0, (5, 1, 1, 1, 1, 1)),
)


def mode_order(modes: Iterable[object]) -> list[str]:
    """Distinct mode names in the order every figure shows them: pos, neg, rej (and their variants), then by
    name.

    Example
    -------
    >>> mode_order(["zeta", "rej", "neg", "pos"])
    ['pos', 'neg', 'rej', 'zeta']
    """
    known = list(_KNOWN)

    def rank(mode: str) -> tuple[int, str]:
        base = mode.split("@")[0]
        return (known.index(base) if base in known else len(known), mode)

    return sorted({str(mode) for mode in modes}, key=rank)


def mode_looks(modes: Iterable[object]) -> dict[str, Look]:
    """Look of each mode, in display order.

    `pos`, `neg` and `rej` look the same in every figure. A variant such as `pos@zh` keeps the colour of
    `pos`, with its own marker and line. Other names take further looks in alphabetical order, so the look of
    a mode depends on the set of modes and not on the order of a table's rows: hand every figure of a paper
    the same set.

    Example
    -------
    >>> looks = mode_looks(["neg", "pos", "pos@zh"])
    >>> list(looks), looks["pos"].colour == looks["pos@zh"].colour
    (['pos', 'pos@zh', 'neg'], True)
    """
    looks: dict[str, Look] = {}
    further = 0
    for mode in mode_order(modes):
        base = mode.split("@")[0]
        if mode in _KNOWN:
            looks[mode] = _KNOWN[mode]
            continue
        colour = _KNOWN[base].colour if base in _KNOWN else _COLOURS[further % len(_COLOURS)]
        looks[mode] = Look(colour, _MARKERS[further % len(_MARKERS)], _LINES[further % len(_LINES)])
        further += 1
    return looks
