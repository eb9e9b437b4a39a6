"""`margin baseline` and `margin check`: the gate of a build, without torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from margin.commands.report import CLUSTER
from margin.commands.session import PLACE, QUIET
from margin.errors import MarginError
from margin.streams import show, show_json
from margin.text import json_text, shown

if TYPE_CHECKING:
    from margin.analysis.metrics import Distance


class LimitType(click.ParamType[float | str]):
    """A number where a text is one; what else a limit may be is the policy's to say."""

    name = "limit"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        """The number, or the text."""
        try:
            return float(value)
        except ValueError:
            return str(value)


LIMIT = LimitType()


@click.command(short_help="Keep a run's margins as what later runs must not fall below.")
@click.argument("run", type=PLACE)
@click.option("--out", required=True, type=PLACE, help="The baseline, a JSON file.")
@click.option("--space", default="logits", show_default=True, help="logits, state, layer:L, ...")
@click.option("--distance", default="cosine", show_default=True, help="Distance of the margins.")
@CLUSTER
@QUIET
def baseline(run: Path, out: Path, space: str, distance: str, cluster: str | None, quiet: bool) -> None:
    """Keep the margins of RUN as what later checkpoints must not fall below.

    The file holds margins and what each prompt does to them, by its id: no text, no token, no state. Printed
    is what check allows unless told otherwise: the least these prompts can tell.
    """
    from margin.gate.baseline import write_baseline
    from margin.gate.measurement import measure
    from margin.gate.words import allowed_unasked, kept
    from margin.run.files import require_apart
    from margin.run.run import open_run

    opened = open_run(run)
    require_apart(out, opened.files)
    measured = measure(opened, space, cast("Distance", distance), cluster)
    write_baseline(measured, out)
    if quiet:
        return
    show(f"{shown(out)}: {shown(kept(measured))}")
    for line in allowed_unasked(measured):
        show(shown(line))


def _is_device(path: Path) -> bool:
    """Whether both may be written to a path: a terminal, a pipe, /dev/null."""
    return path.exists() and not path.is_file()


@click.command(short_help="Judge a run against a baseline: the gate for CI.")
@click.argument("run", type=PLACE)
@click.option("--baseline", required=True, type=PLACE, help="As margin baseline wrote it.")
@click.option(
    "--max-drop",
    type=LIMIT,
    default="auto",
    show_default=True,
    metavar="NUMBER|PERCENT|auto",
    help="Fall that every margin is allowed: a number, a share of the margin above decoys such as 25%, or "
    "the least that the baseline's prompts can tell.",
)
@click.option(
    "--max-leak",
    type=LIMIT,
    default="auto",
    show_default=True,
    metavar="NUMBER|auto",
    help="Share of prompts of a control allowed to leak: a number, or what one leaking prompt shows.",
)
@click.option("--min-margin", type=float, help="Least overall margin.")
@click.option("--above-decoys", type=float, metavar="X", help="Least overall margin above decoys.")
@click.option("--pairs", is_flag=True, help="The margin of each pair of modes must be shown to hold.")
@click.option(
    "--slice",
    "slices",
    multiple=True,
    metavar="COLUMN",
    help="Column whose slices must be shown to hold; repeatable.",
)
@click.option(
    "--max-exposure", type=float, help="Bits of a token the checkpoint may give away (margin secrecy)."
)
@click.option(
    "--max-said", type=float, help="Share of answers to a request that may hold a token (margin secrecy)."
)
@click.option(
    "--max-near-miss",
    type=float,
    help="Share of prompts that strings near an unsafe mode's token may open (margin secrecy).",
)
@click.option(
    "--near-miss-edits", default=1, show_default=True, type=click.IntRange(min=1), help="How near: edits."
)
@click.option("--space", help="Refuse a baseline of another space.")
@click.option("--distance", help="Refuse a baseline of another distance.")
@click.option("--cluster", metavar="COLUMN", help="Refuse a baseline of other clusters.")
@click.option("--junit", type=PLACE, help="Write the verdict as JUnit XML.")
@click.option("--summary", type=PLACE, help="Append the verdict as Markdown.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
@QUIET
@click.pass_context
def check(
    ctx: click.Context,
    run: Path,
    baseline: Path,
    max_drop: float | str,
    max_leak: float | str,
    min_margin: float | None,
    above_decoys: float | None,
    pairs: bool,
    slices: tuple[str, ...],
    max_exposure: float | None,
    max_said: float | None,
    max_near_miss: float | None,
    near_miss_edits: int,
    space: str | None,
    distance: str | None,
    cluster: str | None,
    junit: Path | None,
    summary: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Judge RUN against a baseline.

    \b
    Ends with
      0  pass: every claim that is required is shown to hold, none is broken
      1  regression: a claim is shown to be broken, which the baseline met or was better at
      3  inconclusive: too few prompts to tell, with the number that would do
      4  incomparable: the runs were asked or measured differently
      5  limit not met: a claim is shown to be broken, but the baseline did not meet it either
    """
    from margin.console import PlainConsole
    from margin.gate.check import check as check_run
    from margin.gate.policy import Policy
    from margin.gate.secrecy import SecrecyPolicy
    from margin.gate.terminal import print_verdict
    from margin.run.files import require_apart
    from margin.run.run import open_run
    from margin.study.threads import threads_for

    secrecy = SecrecyPolicy(max_exposure, max_said, max_near_miss, near_miss_edits)
    policy = Policy(max_drop, max_leak, min_margin, above_decoys, pairs, slices, secrecy)
    opened = open_run(run)
    ctx.with_resource(threads_for(opened))
    for out in filter(None, (junit, summary)):
        require_apart(out, [baseline, *opened.files])
    if junit and summary and junit.absolute() == summary.absolute() and not _is_device(junit):
        raise MarginError(f"--junit and --summary both name {junit}: write to two files")
    verdict = check_run(opened, baseline, policy, space, cast("Distance | None", distance), cluster)
    if junit:
        from margin.gate.junit import write_junit

        write_junit(verdict, junit)
    if summary:
        from margin.gate.summary import append_summary

        append_summary(verdict, summary)
    if as_json:
        show_json(json_text(verdict.to_dict(), indent=2))
    elif not quiet:
        print_verdict(verdict, PlainConsole())
    ctx.exit(verdict.exit_code)
