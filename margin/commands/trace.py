"""`margin trace`: what in the model decides the mode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from margin.commands.collect import collect_arguments, collect_options
from margin.commands.report import CLUSTER, coverage
from margin.commands.session import PLACE, Session
from margin.errors import MarginError
from margin.streams import show_json, written
from margin.text import json_text


@click.command(short_help="What in the model decides the mode: patch, cut, steer.")
@click.argument("model")
@click.option("--out", required=True, type=PLACE, help="Folder of the run; collected first if need be.")
@click.option("--adapter", help="PEFT adapter: a folder or a hub id.")
@click.option(
    "--pair",
    "pairs",
    multiple=True,
    metavar="FROM:TO",
    help="Modes of recipient and donor; repeatable. All ordered pairs unless given.",
)
@click.option(
    "--traced-layers", default="all", show_default=True, help="Layers to patch and cut, as --layers."
)
@click.option("--no-cut", is_flag=True, help="Do not cut attention to the token.")
@click.option("--no-steer", is_flag=True, help="Do not steer.")
@click.option("--steered-layers", help="Layers to steer: numbers like 4,8. Four of the traced unless given.")
@click.option("--doses", default="0.5,1,2", show_default=True, help="Multiples of the difference added.")
@click.option(
    "--answers",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    help="Tokens of steered answers to generate and judge; 0: none.",
)
@click.option(
    "--level", default=0.95, show_default=True, callback=coverage, help="Nominal coverage of the intervals."
)
@CLUSTER
@click.option("--json", "as_json", is_flag=True, help="Print trace.json instead of the summary.")
@collect_options
@click.pass_obj
def trace(
    session: Session,
    /,
    model: str,
    out: Path,
    adapter: str | None,
    pairs: tuple[str, ...],
    traced_layers: str,
    no_cut: bool,
    no_steer: bool,
    steered_layers: str | None,
    doses: str,
    answers: int,
    level: float,
    cluster: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Patch, cut and steer MODEL, and write OUT/trace.json beside the run.

    The run in OUT is collected first, with all layers, unless it is there. A summary here; the next margin
    report shows it in full.
    """
    arguments = collect_arguments(session, **options)
    named = [_pair(text) for text in pairs]
    amounts = _doses(doses)
    steered = None if steered_layers is None else _numbers(steered_layers)
    if "layers" in arguments and arguments["layers"] == "last":
        del arguments["layers"]  # the default of collect; a trace wants all

    from margin.console import PlainConsole
    from margin.report.trace_terminal import print_trace
    from margin.study.notation import model_name
    from margin.study.trace_file import NAME
    from margin.tracing.trace import trace as trace_run

    found = trace_run(
        model,
        out=out,
        adapter=adapter,
        pairs=named or None,
        traced_layers=traced_layers,
        cut=not no_cut,
        steer=not no_steer,
        steered_layers=steered,
        doses=amounts,
        answers=answers,
        level=level,
        cluster=cluster,
        **arguments,
    )
    if as_json:
        show_json(json_text(found.record.model_dump(), indent=2))
    elif not arguments["quiet"]:
        print_trace(found.record, model_name(model, adapter), PlainConsole())
        written([out / NAME])


def _pair(text: str) -> tuple[str, str]:
    recipient, colon, donor = text.partition(":")
    if not colon:
        raise MarginError(f"--pair {text!r}: name two modes, FROM:TO")
    return recipient, donor


def _doses(text: str) -> list[float]:
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise MarginError(f"--doses {text!r}: take numbers like 0.5,1,2") from None


def _numbers(text: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise MarginError(f"--steered-layers {text!r}: take numbers like 4,8,-1") from None
