"""The figures of a report on disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from margin import figures
from margin.report.report import Report
from margin.run.files import write_atomic
from margin.study.canvas import Canvas
from margin.study.picture import Picture, picture
from margin.study.sections import FIGURES

__all__ = ["FIGURES", "FORMATS", "IN_REPORT", "OVER_PROMPTS", "save_figures"]

FORMATS = ("pdf", "png", "svg")
IN_REPORT = ("overview", "projection")
"""Figures that every report carries."""
OVER_PROMPTS = ("pairs", "layers", "positions", "probes", "slices", "robustness")
"""Figures that draw no single prompt."""


def save_figures(
    report: Report,
    names: Iterable[str],
    out: Path,
    formats: Iterable[str] = FORMATS,
    canvas: Canvas | None = None,
) -> Iterator[Path]:
    """Draw figures and write them to `out`/NAME.FORMAT, yielding each path once it is written; where notes
    stand outside of the figure, its caption to `out`/NAME.txt.

    The same run and seed give the same bytes in PNG and SVG; of the overview, whose nested layout differs
    in its last bits, in PNG only. Raises as `Report.figure`.
    """
    formats, canvas = tuple(formats), canvas or Canvas()
    for name in names:
        yield from save_picture(picture(report.study, name, canvas), out / name, formats, canvas)


def save_picture(drawn: Picture, path: Path, formats: Iterable[str], canvas: Canvas) -> Iterator[Path]:
    """Write one figure to `path` with each format's ending, and where notes stand outside its caption."""
    with figures.style(canvas.style):
        for suffix in formats:
            file = path.with_name(f"{path.name}.{suffix}")
            write_atomic(file, figures.rendered(drawn.figure, suffix))
            yield file
    if not canvas.notes:
        file = path.with_name(f"{path.name}.txt")
        write_atomic(file, f"{drawn.caption}\n".encode())
        yield file
