"""`margin report` and `margin compare`: numbers from runs on disk, without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from margin.errors import IncomparableError, MarginError

if TYPE_CHECKING:
    from margin.analysis.comparison import Comparison
    from margin.report.report import Report
    from margin.run.run import Run

SEED = click.IntRange(min=0)


def _coverage(context: click.Context, option: click.Parameter, level: float) -> float:
    if not 0 < level < 1:
        raise MarginError(f"--level {level} is no coverage: take a number between 0 and 1")
    return level


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the report.  [default: RUN/report]")
@click.option(
    "--level", default=0.95, show_default=True, callback=_coverage, help="Nominal coverage of the intervals."
)
@click.option(
    "--permutations",
    default=999,
    show_default=True,
    type=click.IntRange(min=1),
    help="Relabellings behind the null.",
)
@click.option("--seed", default=0, show_default=True, type=SEED, help="Of whatever is drawn at random.")
@click.option("--optional", is_flag=True, help="Add the costly separation measures.")
@click.option("--text", is_flag=True, help="Show the prompts' text.")
@click.option("--json", "as_json", is_flag=True, help="Print report.json instead of the summary.")
@click.option("--quiet", is_flag=True, help="Print nothing.")
def report(
    run: Path,
    out: Path | None,
    level: float,
    permutations: int,
    seed: int,
    optional: bool,
    text: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Margins of RUN: report.json, report.md, report.html and figures, and a summary here."""
    from rich.console import Console

    from margin.report.analyse import analyse
    from margin.report.terminal import print_summary
    from margin.report.write import to_json
    from margin.run.run import open_run

    opened = open_run(run)
    found = analyse(opened, level=level, permutations=permutations, seed=seed, text=text, optional=optional)
    written = write_with_figures(found, opened, out or run / "report")
    if as_json:
        click.echo(to_json(found), nl=False)
    elif not quiet:
        print_summary(found, Console())
        click.echo(f"\nwritten: {', '.join(str(path) for path in written)}", err=True)


def write_with_figures(report: Report, run: Run, out: Path) -> list[Path]:
    """Write a report and its figures; where there is nothing to draw, say why and go on."""
    from margin.report.pictures import IN_REPORT, Pictures
    from margin.report.write import write_report

    written = write_report(report, run, out)
    (out / "figures").mkdir(exist_ok=True)
    pictures = Pictures(run, report)
    for name in IN_REPORT:
        try:
            written += pictures.save((name,), out / "figures", ("png",))
        except MarginError as error:
            click.echo(f"margin: {error}", err=True)
    return written


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--level", default=0.95, show_default=True, callback=_coverage, help="Nominal coverage of the intervals."
)
@click.option("--seed", default=0, show_default=True, type=SEED, help="Of the simultaneous intervals.")
@click.option("--json", "as_json", is_flag=True, help="Every margin and difference, as JSON.")
def compare(runs: tuple[Path, ...], level: float, seed: int, as_json: bool) -> None:
    """Margins of RUNS against the first, paired on the prompts they share."""
    from rich.console import Console

    from margin.report.terminal import print_comparison

    if len(runs) < 2:
        raise MarginError("nothing to compare: name two runs or more")
    found = compare_runs(runs, level, seed)
    if as_json:
        click.echo(json.dumps(found.to_frame().to_dict("records"), indent=2))
    else:
        print_comparison(found, Console())


def compare_runs(runs: tuple[Path, ...], level: float = 0.95, seed: int = 0) -> Comparison:
    """The comparison of runs on disk, named by their folders."""
    import numpy as np

    from margin.analysis.comparison import compare as compare_spaces
    from margin.analysis.run_spaces import design_of, space_of
    from margin.run.run import open_run

    if len({path.resolve() for path in runs}) < len(runs):
        raise MarginError("a run stands twice among the runs to compare")
    short = [path.resolve().name for path in runs]
    names = short if len(set(short)) == len(short) else [str(path) for path in runs]
    opened = {}
    texts: dict[str, str] = {}
    for name, path in zip(names, runs, strict=True):
        run = open_run(path)
        for prompt_id, text in zip(run.prompts["id"], run.prompts["prompt"], strict=True):
            if texts.setdefault(prompt_id, text) != text:
                raise IncomparableError(
                    f"prompt {prompt_id} of {name} has another text than in the runs before it: "
                    "compare runs on the same prompts"
                )
        space, rows = space_of(run, "logits")
        opened[name] = (space, design_of(run, rows))
    return compare_spaces(opened, np.random.default_rng(seed), level=level)
