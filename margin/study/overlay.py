"""Several runs in one picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pandas as pd

from margin import figures
from margin.errors import MarginError
from margin.run.run import Run, open_run
from margin.study.canvas import Canvas
from margin.study.comparison import asked_differently, names_of
from margin.study.picture import Picture, finished
from margin.study.section import Section
from margin.study.sections.layers import Layers
from margin.study.sections.positions import Positions
from margin.study.settings import Settings
from margin.study.study import Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

S = TypeVar("S", bound=Section)
INFERRED = "leave_prompt_out"
"""The variant that is drawn: one curve a run."""


def open_together(
    paths: Sequence[Path], settings: Settings, across: Sequence[str] = ()
) -> tuple[dict[str, Study], list[str]]:
    """Studies of runs by name, and in what their models were asked differently, as far as `across` allows.

    Raises
    ------
    MarginError : what `open_run` refuses. IncomparableError : models asked differently in something else.
    """
    runs: dict[str, Run] = dict(zip(names_of(paths), map(open_run, paths), strict=True))
    first = next(iter(runs))
    asked = [
        line
        for name, run in runs.items()
        for line in asked_differently(runs[first], run, across, (first, name))
    ]
    return {name: Study(run, settings) for name, run in runs.items()}, asked


def overlay(studies: Mapping[str, Study], name: str, canvas: Canvas) -> Picture:
    """Draw one figure of several runs by its name.

    Raises
    ------
    MarginError : an unknown name, or a run that holds too little for this figure; says which and what.
    """
    if name not in OVERLAYS:
        raise MarginError(f"figure {name!r} of several runs is unknown: choose from {', '.join(OVERLAYS)}")
    with figures.style(canvas.style):
        return finished(OVERLAYS[name](studies, canvas), canvas, f"Runs: {', '.join(studies)}.")


def _margins(studies: Mapping[str, Study], canvas: Canvas) -> Figure:
    """The margin of each run."""
    lines = [
        {"slice": name, "ranked": True, **study.headline.leave_prompt_out.to_dict()}
        for name, study in studies.items()
    ]
    fig = canvas.figure("single", figures.forest_height(len(lines)))
    figures.slice_forest(pd.DataFrame(lines), fig.add_subplot(), title="Margin by run, weakest first")
    return fig


def _layers(studies: Mapping[str, Study], canvas: Canvas) -> Figure:
    """The margin of each run by layer."""
    curves = _curves(studies, Layers, lambda found: found.curve.to_frame(), "collect it with --layers all")
    fig = canvas.figure("single")
    figures.layer_curve(curves, fig.add_subplot(), series="run")
    return fig


def _positions(studies: Mapping[str, Study], canvas: Canvas) -> Figure:
    """The margin of each run along the response."""
    curves = _curves(studies, Positions, lambda found: found.curve.to_frame(), "collect it with --positions")
    fig = canvas.figure("single")
    figures.position_curve(curves, fig.add_subplot(), series="run")
    return fig


OVERLAYS: dict[str, Callable[[Mapping[str, Study], Canvas], Figure]] = {
    "margins": _margins,
    "layers": _layers,
    "positions": _positions,
}
"""Figures of several runs by name."""


def _curves(
    studies: Mapping[str, Study], kind: type[S], frame: Callable[[S], pd.DataFrame], lacking: str
) -> pd.DataFrame:
    """The curves of all runs, one below the other; MarginError for a run without one."""
    frames = []
    for name, study in studies.items():
        found = study.section(kind)
        if found is None:
            raise MarginError(f"{name} has no curve to draw: {lacking}")
        lines = frame(found)
        frames.append(lines[lines["variant"] == INFERRED].assign(run=name))
    return pd.concat(frames, ignore_index=True)
