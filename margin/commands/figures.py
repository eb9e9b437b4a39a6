"""`margin figures`: every figure of a run, ready for print or slides."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from margin.commands.report import CLUSTER, coverage
from margin.commands.session import PLACE, QUIET
from margin.errors import MarginError
from margin.streams import show
from margin.text import shown

if TYPE_CHECKING:
    from margin.figures.style import StyleName


class _Listing(click.Command):
    """Help that ends with the names of all figures, gathered when asked for: that takes a second."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from margin.report.figures import FIGURES

        self.epilog = f"Figures: {', '.join(FIGURES)}. Projections are by principal components unless named."
        super().format_epilog(ctx, formatter)


@click.command(cls=_Listing, short_help="Figures of a run, for a paper or a talk.")
@click.argument("run", type=PLACE)
@click.option("--out", type=PLACE, help="Folder of the figures.  [default: RUN/figures]")
@click.option("--only", multiple=True, metavar="NAME", help="Only this figure; may be given several times.")
@click.option("--format", "formats", default="pdf,png", show_default=True, help="Of pdf, png and svg.")
@click.option("--style", type=click.Choice(["paper", "talk"]), default="paper", show_default=True)
@click.option(
    "--width",
    type=click.FloatRange(2, 40),
    metavar="INCHES",
    help="Width of every figure; type stays as large as it is.  [default: one or two columns, or a slide]",
)
@click.option("--no-title", is_flag=True, help="No titles; of several panels the letters only.")
@click.option(
    "--captions", is_flag=True, help="Titles and notes as NAME.txt beside each figure, and no notes in it."
)
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Of whatever is drawn at random."
)
@click.option(
    "--level", default=0.95, show_default=True, callback=coverage, help="Nominal coverage of the intervals."
)
@CLUSTER
@QUIET
def figures(
    run: Path,
    out: Path | None,
    only: tuple[str, ...],
    formats: str,
    style: StyleName,
    width: float | None,
    no_title: bool,
    captions: bool,
    seed: int,
    level: float,
    cluster: str | None,
    quiet: bool,
) -> None:
    """Figures of RUN: the same PNG bytes each time, and but for the overview the same SVG.

    A figure the run holds too little for is left out with a word on why; one asked for by --only is an error
    then. One that fails leaves the others to be drawn, and the exit code says so.
    """
    from rich.progress import Progress

    from margin.commands.drawing import draw_each
    from margin.console import PlainConsole
    from margin.report.analyse import analyse
    from margin.report.figures import FIGURES, FORMATS
    from margin.run.files import make_folder, remove_partial
    from margin.run.run import open_run
    from margin.study.canvas import Canvas

    _known("--only", only, tuple(FIGURES))
    kinds = tuple(dict.fromkeys(kind.strip() for kind in formats.split(",")))
    _known("--format", kinds, FORMATS)
    canvas = Canvas(style, width, titles=not no_title, notes=not captions)
    opened = open_run(run)
    target = out or run / "figures"
    make_folder(target)
    remove_partial(target)
    names = tuple(dict.fromkeys(only)) or tuple(FIGURES)
    with Progress(console=PlainConsole(stderr=True), disable=quiet) as bar:
        task = bar.add_task("margins", total=len(names) + 1)
        report = analyse(opened, level=level, seed=seed, cluster=cluster)

        def before(name: str) -> None:
            bar.update(task, advance=1, description=name)

        drawn = draw_each(report, names, target, kinds, canvas, before)
        bar.update(task, advance=1, description="figures")
    drawn.say()
    for path in () if quiet else drawn.written:
        show(shown(path))
    drawn.leave(all_wanted=bool(only))


def _known(option: str, given: tuple[str, ...], choices: tuple[str, ...]) -> None:
    """MarginError for a name that is none of the choices."""
    for name in given:
        if name not in choices:
            raise MarginError(f"{option} {name!r} is unknown: choose from {', '.join(choices)}")
