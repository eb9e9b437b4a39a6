"""A figure of a run as it is wanted, and its caption."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from margin import figures
from margin.errors import MarginError
from margin.study.canvas import Canvas
from margin.study.notation import model_name
from margin.study.sections import FIGURES
from margin.study.study import Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Picture:
    """A figure, and in words what it shows."""

    figure: Figure
    """Laid out when it is written, for that format."""
    caption: str
    """Its titles and notes, whether they stand in the figure too or not, and whose numbers they are."""


def picture(study: Study, name: str, canvas: Canvas) -> Picture:
    """Draw one figure by its name.

    Raises
    ------
    MarginError : an unknown name, or a run that holds too little for this figure; says what is missing.
    """
    if name not in FIGURES:
        raise MarginError(f"figure {name!r} is unknown: choose from {', '.join(FIGURES)}")
    with figures.style(canvas.style):
        return finished(FIGURES[name](study, canvas), canvas, _about(study))


def finished(fig: Figure, canvas: Canvas, about: str) -> Picture:
    """A figure just drawn as the canvas wants it: without titles or notes.

    `about` says in its caption whose numbers it shows.
    """
    caption = f"{figures.caption_of(fig)} {about}"
    if not canvas.titles:
        figures.take_titles(fig)
    if not canvas.notes:
        figures.take_notes(fig)
    return Picture(fig, caption)


def _about(study: Study) -> str:
    """Whose numbers a figure shows."""
    identity = study.run.manifest.identity
    model, modes = model_name(identity.model, identity.adapter), len(study.design.modes)
    prompts, level = study.design.n_prompts, study.settings.level
    return f"{model}: {prompts:,} prompts under {modes} modes; intervals and bands at {level:.0%}."
