"""`margin demo`: the shipped tiny checkpoints, start to end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from margin.commands.report import write_with_figures
from margin.commands.session import PLACE, QUIET
from margin.streams import say, tell

if TYPE_CHECKING:
    from margin.demo import Name
    from margin.run.run import Run

CONTROLS = ("none", "random", "near-miss", "user-turn")
"""With an attack, what the first page of a newcomer needs to say whether a checkpoint is safe."""
CHECKPOINTS: tuple[Name, ...] = ("baseline", "naive", "cotrained")


@click.command(short_help="Three tiny checkpoints, start to end.")
@click.option(
    "--out",
    type=PLACE,
    default=Path("margin-demo"),
    show_default=True,
    help="Folder of the runs and reports.",
)
@QUIET
def demo(out: Path, quiet: bool) -> None:
    """Measure three tiny checkpoints, start to end.

    One knows no token, one was co-trained with no thought of tokens that nearly fit, one with. Their three
    behaviours are harmless stand-ins, and their tokens guard nothing.
    """
    from margin.capture.quiet import hide_bars
    from margin.console import PlainConsole
    from margin.report.analyse import analyse
    from margin.report.terminal import print_comparison, print_summary, print_verdict
    from margin.study.comparison import compare
    from margin.study.threads import threads_for

    hide_bars()
    console = PlainConsole()
    earlier = CHECKPOINTS[:-1]
    for name in CHECKPOINTS:
        run = collect_demo(name, out / name, quiet=quiet)
        with threads_for(run):
            report = analyse(run)
            write_with_figures(report, out / name / "report")
        if name in earlier and not quiet:
            console.print(f"{name}:", style="bold")
            print_verdict(report, console)
    if quiet:
        return
    print_summary(report, console)
    console.print()
    print_comparison(compare(*(out / name for name in CHECKPOINTS)), console)
    tell("")
    for name in reversed(CHECKPOINTS):
        say(f"the page of {name}, to open in a browser: {out / name / 'report' / 'report.html'}")


def collect_demo(name: Name, out: Path, *, quiet: bool = False) -> Run:
    """The run of one of the shipped checkpoints, with controls and an attack."""
    from margin.capture.collect import collect
    from margin.demo import attacks_path, checkpoint_path, modes_path, prompts_path

    return collect(
        checkpoint_path(name),
        prompts=prompts_path(),
        modes=modes_path(),
        out=out,
        layers="all",
        controls=CONTROLS,
        attacks=attacks_path(),
        quiet=quiet,
    )
