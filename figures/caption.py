"""What a figure says in words: its titles, and the notes below its axes. They can be taken out of it.

A note is a line below the label of the x axis, which so has one line itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from string import ascii_lowercase
from typing import Literal, get_args

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from margin.figures.canvas import on_canvas

Side = Literal["left", "center", "right"]
SIDES: tuple[Side, ...] = get_args(Side)


def noted(label: str, notes: Iterable[str]) -> str:
    """The label of an x axis with notes below it."""
    return "\n".join([label, *notes])


def titles(ax: Axes) -> list[tuple[Side, str]]:
    """Each title of the axes that says something, with its side."""
    return [(side, text) for side in SIDES if (text := ax.get_title(loc=side)).strip()]


@on_canvas
def caption_of(fig: Figure) -> str:
    """All that titles and notes of a figure say, panel by panel, as sentences on one line.

    Example
    -------
    >>> from margin import figures
    >>> fig = figures.figure()
    >>> _ = fig.add_subplot(title="Margin by layer", xlabel="layer\\ndashed: permuted modes")
    >>> caption_of(fig)
    'Margin by layer (dashed: permuted modes).'
    """
    said = [fig.get_suptitle()] if fig.get_suptitle() else []
    for ax, _, letter, title in _panels(fig):
        notes = "; ".join(note for part in ax.get_xlabel().split("\n")[1:] for note in part.split(" · "))
        said.append(f"{letter} {title}".strip() + (f" ({notes})" if notes else ""))
    return " ".join(f"{one}." for one in said).replace("\n", " ").replace(r"\$", "$")


@on_canvas
def take_titles(fig: Figure) -> None:
    """Take the titles out of a figure that is not laid out yet. Of several panels the letters stay, since
    text speaks of them by these.

    Example
    -------
    >>> from margin import figures
    >>> fig = figures.figure()
    >>> ax = fig.add_subplot(title="Margin by layer")
    >>> take_titles(fig)
    >>> ax.get_title(loc="left")
    ''
    """
    if fig.get_suptitle():
        fig.suptitle("")
    for ax, side, letter, _ in _panels(fig):
        ax.set_title(letter, loc=side)


@on_canvas
def take_notes(fig: Figure) -> None:
    """Take the notes out of a figure that is not laid out yet.

    Example
    -------
    >>> from margin import figures
    >>> fig = figures.figure()
    >>> ax = fig.add_subplot(xlabel="layer\\ndashed: permuted modes")
    >>> take_notes(fig)
    >>> ax.get_xlabel()
    'layer'
    """
    for ax in fig.axes:
        ax.set_xlabel(ax.get_xlabel().split("\n")[0])


def _panels(fig: Figure) -> Iterator[tuple[Axes, Side, str, str]]:
    """Each title with its axes, side and letter; a single panel has no letter."""
    found = [(ax, side, text) for ax in fig.axes if ax.get_visible() for side, text in titles(ax)]
    for letter, (ax, side, text) in zip(ascii_lowercase, found, strict=False):
        lettered = f"({letter}) "
        yield ax, side, f"({letter})" if len(found) > 1 else "", text.removeprefix(lettered)
