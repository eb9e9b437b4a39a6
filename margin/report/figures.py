"""The figures of a report on disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from margin import figures
from margin.figures.style import StyleName
from margin.report.report import Report
from margin.run.files import write_atomic
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
    style: StyleName = "paper",
) -> Iterator[Path]:
    """Draw figures and write them to `out`/NAME.FORMAT, yielding each path once it is written.

    The same run and seed give the same bytes in PNG and SVG; of the overview, whose nested layout differs
    in its last bits, in PNG only. Raises as `Report.figure`.
    """
    formats = tuple(formats)
    for name in names:
        fig = report.figure(name, style)
        with figures.style(style):
            for suffix in formats:
                path = out / f"{name}.{suffix}"
                write_atomic(path, figures.rendered(fig, suffix))
                yield path
