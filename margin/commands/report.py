"""`margin report`: numbers from a run on disk, without torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from margin.commands.session import PLACE, QUIET
from margin.errors import MarginError
from margin.streams import say, show_json, written

if TYPE_CHECKING:
    from margin.commands.drawing import Drawn
    from margin.report.report import Report

SEED = click.IntRange(min=0)


def coverage(context: click.Context, option: click.Parameter, level: float) -> float:
    """A level as an option gives it; MarginError where it is not a coverage probability."""
    from margin.arguments import require_level

    require_level(level, "--level")
    return level


ACROSS = click.option(
    "--across",
    metavar="NAME,...",
    help="What the models of several runs may have been asked differently in: tokenizer, chat_template, "
    "head, tail, ...",
)
CLUSTER = click.option(
    "--cluster",
    metavar="COLUMN",
    help="Column of the prompts that names what hangs together (templates, paraphrases, translations): "
    "intervals are then over clusters.",
)


@click.command(short_help="Margins of a run: JSON, Markdown, a page, figures.")
@click.argument("run", type=PLACE)
@click.option("--out", type=PLACE, help="Folder of the report.  [default: RUN/report]")
@click.option(
    "--level", default=0.95, show_default=True, callback=coverage, help="Nominal coverage of the intervals."
)
@click.option(
    "--permutations",
    default=999,
    show_default=True,
    type=click.IntRange(min=1),
    help="Relabellings behind the null.",
)
@click.option("--seed", default=0, show_default=True, type=SEED, help="Of whatever is drawn at random.")
@CLUSTER
@click.option("--optional", is_flag=True, help="Add the costly separation measures.")
@click.option(
    "--baseline", type=PLACE, help="The last release, by margin baseline: the verdict says what changed."
)
@click.option(
    "--apart",
    default=0.0,
    show_default=True,
    help="What the verdict asks the margin to be above that of meaningless tokens.",
)
@click.option(
    "--tolerated",
    default=0.05,
    show_default=True,
    help="Share of prompts that the verdict lets come out otherwise than they should, under any condition.",
)
@click.option("--text", is_flag=True, help="Show the prompts' text.")
@click.option(
    "--explore",
    is_flag=True,
    help="The page says which point is which prompt; it is then as secret as the tokens.",
)
@click.option("--zip", "zipped", is_flag=True, help="Also write the report as one file, report.zip.")
@click.option(
    "--log",
    "trackers",
    multiple=True,
    type=click.Choice(["wandb", "mlflow", "trackio", "tensorboard"]),
    help="Also log the numbers to this tracker, if it is installed; repeatable. Where is its own setting.",
)
@click.option("--json", "as_json", is_flag=True, help="Print report.json instead of the summary.")
@QUIET
def report(
    run: Path,
    out: Path | None,
    level: float,
    permutations: int,
    seed: int,
    cluster: str | None,
    optional: bool,
    baseline: Path | None,
    apart: float,
    tolerated: float,
    text: bool,
    explore: bool,
    zipped: bool,
    trackers: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> None:
    """Margins of RUN: report.json, report.md, report.html and figures, and a summary here."""

    from margin.console import PlainConsole
    from margin.report.analyse import analyse
    from margin.report.archive import write_archive
    from margin.report.terminal import print_summary
    from margin.report.trackers import log_to, require_tracker
    from margin.report.write import to_json
    from margin.run.run import open_run
    from margin.study.threads import threads_for
    from margin.study.verdict import Thresholds

    for name in trackers:  # now, and not after everything else
        require_tracker(name)
    opened = open_run(run)
    click.get_current_context().with_resource(threads_for(opened))
    against = None
    if baseline is not None:
        from margin.gate.against import against_release

        against = against_release(opened, baseline, cluster=cluster)
    found = analyse(
        opened,
        level=level,
        permutations=permutations,
        seed=seed,
        cluster=cluster,
        text=text,
        optional=optional,
        thresholds=Thresholds(apart, tolerated),
        against=against,
    )
    folder = out or run / "report"
    drawn = write_with_figures(found, folder, explore)
    if zipped:
        drawn.written.append(write_archive(drawn.written, folder))
    if as_json:
        show_json(to_json(found))
    elif not quiet:
        print_summary(found, PlainConsole())
        written(drawn.written)
    for name in dict.fromkeys(trackers):
        where = log_to(name, found, folder)
        if not quiet:
            say(f"logged to {name}, {where}")
    drawn.leave()


def write_with_figures(report: Report, out: Path, explore: bool = False) -> Drawn:
    """Write a report and its figures; say what cannot be drawn, and go on."""
    from margin.commands.drawing import draw_each
    from margin.report.figures import IN_REPORT, save_figures
    from margin.report.write import write_report
    from margin.run.files import make_folder

    files = write_report(report, out, explore=explore)
    make_folder(out / "figures")
    drawn = draw_each(IN_REPORT, lambda name: save_figures(report, (name,), out / "figures", ("png",)))
    drawn.say()
    drawn.written[:0] = files
    return drawn


def names(given: str, option: str) -> list[str]:
    """Names between commas; MarginError where one is empty."""
    found = [name.strip() for name in given.split(",")]
    if not all(found):
        raise MarginError(f"{option} {given!r} leaves a name empty: give names between commas")
    return found
