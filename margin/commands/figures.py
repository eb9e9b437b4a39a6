"""`margin figures`: every figure of a run, ready for print or slides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from margin.commands.report import ACROSS, CLUSTER, coverage
from margin.commands.report import names as names_of_option
from margin.commands.session import PLACE, QUIET
from margin.errors import MarginError
from margin.streams import say, show
from margin.text import shown

if TYPE_CHECKING:
    from margin.figures.style import StyleName
    from margin.study.canvas import Canvas
    from margin.study.settings import Settings


class _Listing(click.Command):
    """Help that ends with the names of all figures, gathered when asked for: that takes a second."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from margin.report.figures import FIGURES
        from margin.study.overlay import OVERLAYS

        self.epilog = (
            f"Figures: {', '.join(FIGURES)}. Projections are by principal components unless named. "
            f"Of several runs: {', '.join(OVERLAYS)}."
        )
        super().format_epilog(ctx, formatter)


@click.command(cls=_Listing, short_help="Figures of a run, for a paper or a talk.")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=PLACE)
@click.option(
    "--out",
    type=PLACE,
    help="Folder of the figures; to be named for several runs.  [default: RUN/figures]",
)
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
@ACROSS
@QUIET
def figures(
    runs: tuple[Path, ...],
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
    across: str | None,
    quiet: bool,
) -> None:
    """Figures of RUN, or of several runs in one picture.

    They are the same PNG bytes each time, and but for the overview the same SVG.

    A figure the run holds too little for is left out with a word on why; one asked for by --only is an error
    then. One that fails leaves the others to be drawn, and the exit code says so.
    """
    from functools import partial

    from rich.progress import Progress

    from margin.commands.drawing import draw_each
    from margin.console import PlainConsole
    from margin.report.figures import FIGURES, FORMATS
    from margin.run.files import make_folder, remove_partial
    from margin.study.canvas import Canvas
    from margin.study.overlay import OVERLAYS
    from margin.study.settings import Settings

    known = tuple(FIGURES if len(runs) == 1 else OVERLAYS)
    _known("--only", only, known)
    kinds = tuple(dict.fromkeys(kind.strip() for kind in formats.split(",")))
    _known("--format", kinds, FORMATS)
    if len(runs) > 1 and out is None:
        raise MarginError("figures of several runs belong to none of them: name a folder with --out")
    if len(runs) == 1 and across is not None:
        raise MarginError("--across is of several runs: one is asked as it is")
    target = out or runs[0] / "figures"
    canvas = Canvas(style, width, titles=not no_title, notes=not captions)
    names = tuple(dict.fromkeys(only)) or known
    with Progress(console=PlainConsole(stderr=True), disable=quiet) as bar:
        task = bar.add_task("margins", total=len(names) + 1)
        settings = Settings(level=level, seed=seed, cluster=cluster)
        save = (_of_one if len(runs) == 1 else _of_several)(runs, settings, across)
        make_folder(target)
        remove_partial(target)

        def before(name: str) -> None:
            bar.update(task, advance=1, description=name)

        drawn = draw_each(names, partial(save, out=target, formats=kinds, canvas=canvas), before)
        bar.update(task, advance=1, description="figures")
    drawn.say()
    for path in () if quiet else drawn.written:
        show(shown(path))
    drawn.leave(all_wanted=bool(only))


def _of_one(runs: Sequence[Path], settings: Settings, across: str | None) -> Callable[..., Iterable[Path]]:
    """Saves figures of a run by name."""
    from margin.report.figures import save_figures
    from margin.report.report import Report
    from margin.run.run import open_run
    from margin.study.left_out import warn_of_left_out
    from margin.study.study import Study
    from margin.study.threads import threads_for

    run = open_run(runs[0])
    click.get_current_context().with_resource(threads_for(run))
    warn_of_left_out(run)
    report = Report(Study(run, settings))
    _ = report.headline  # what a run is refused for shows here, and not at every figure
    return lambda name, **how: save_figures(report, (name,), **how)


def _of_several(
    runs: Sequence[Path], settings: Settings, across: str | None
) -> Callable[..., Iterable[Path]]:
    """Saves figures of several runs by name; says what was asked differently."""
    from margin.report.figures import save_picture
    from margin.study.overlay import open_together, overlay

    studies, asked = open_together(
        runs, settings, [] if across is None else names_of_option(across, "--across")
    )
    for line in asked:
        say(f"asked differently: {line}")

    def save(name: str, out: Path, formats: Iterable[str], canvas: Canvas) -> Iterator[Path]:
        return save_picture(overlay(studies, name, canvas), out / name, formats, canvas)

    return save


def _known(option: str, given: tuple[str, ...], choices: tuple[str, ...]) -> None:
    """MarginError for a name that is none of the choices."""
    for name in given:
        if name not in choices:
            raise MarginError(f"{option} {name!r} is unknown: choose from {', '.join(choices)}")
