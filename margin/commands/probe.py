"""`margin probe`: can the mode be read off the layers of a run, and from which on?"""

from __future__ import annotations

from pathlib import Path

import click

from margin.commands.report import CLUSTER
from margin.commands.session import PLACE, QUIET
from margin.errors import MarginError
from margin.streams import show_json, written
from margin.text import json_text


@click.command(short_help="Read the modes off the layers of a run.")
@click.argument("run", type=PLACE)
@click.option("--layers", default="all", show_default=True, help="Of those captured: all, last, or 0,4,-1.")
@click.option(
    "--transfer",
    "columns",
    multiple=True,
    metavar="COLUMN",
    help="Also fit on the prompts of one value of COLUMN and try on another's; repeatable.",
)
@click.option("--level", default=0.95, show_default=True, help="Nominal coverage of the intervals.")
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Of whatever is drawn at random."
)
@click.option(
    "--jobs",
    default=1,
    show_default=True,
    type=click.IntRange(min=1),
    help="Processes that share the layers.",
)
@CLUSTER
@click.option("--json", "as_json", is_flag=True, help="Print probe.json instead of the summary.")
@QUIET
def probe(
    run: Path,
    layers: str,
    columns: tuple[str, ...],
    level: float,
    seed: int,
    jobs: int,
    cluster: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Probe the modes in the layers of RUN, and write RUN/probe.json.

    A summary here; the next margin report shows it in full. Where RUN holds attacks, transfer from plain to
    attacked prompts is measured without asking.
    """
    from rich.progress import Progress

    from margin.console import PlainConsole
    from margin.report.probe_terminal import print_probes
    from margin.run.run import open_run
    from margin.study.notation import model_name
    from margin.study.probe_file import probe_record, write_probes
    from margin.study.probing import probe

    if not 0 < level < 1:
        raise MarginError(f"--level {level} is not a coverage probability: take a number between 0 and 1")
    opened = open_run(run)
    chosen = _layers(layers, opened.layers)
    with Progress(console=PlainConsole(stderr=True), disable=quiet, transient=True) as bar:
        task = bar.add_task("probing", total=len(chosen))

        def before(layer: int) -> None:
            bar.update(task, advance=1, description=f"layer {layer}")

        found = probe(
            opened, chosen, columns, level=level, seed=seed, n_jobs=jobs, cluster=cluster, before=before
        )
    path = write_probes(found, opened)
    record = probe_record(found, opened)
    if as_json:
        show_json(json_text(record.model_dump(), indent=2))
    elif not quiet:
        identity = opened.manifest.identity
        print_probes(record, model_name(identity.model, identity.adapter), PlainConsole())
        written([path])


def _layers(asked: str, captured: list[int]) -> list[int]:
    """Layers asked for, out of those captured; negative numbers count from the last captured."""
    if asked == "all":
        return captured
    if asked == "last":
        return captured[-1:]
    try:
        numbers = [int(number) for number in asked.split(",")]
        return sorted({number if number >= 0 else captured[number] for number in numbers})
    except (ValueError, IndexError):
        raise MarginError(
            f"--layers {asked!r}: take all, last or numbers like 0,4,-1 of those captured, {captured}"
        ) from None
