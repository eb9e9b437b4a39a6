"""`margin import`: a run from states that another engine made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from margin.commands.collect import collect_arguments, import_options
from margin.commands.info import print_run
from margin.commands.session import PLACE, Session
from margin.errors import MarginError


def _numbers(context: click.Context, option: click.Parameter, text: str | None) -> list[int] | None:
    try:
        return None if text is None else [int(part) for part in text.split(",")]
    except ValueError:
        raise MarginError(f"--dump-layers {text!r}: take numbers such as 8,16,32") from None


@click.command("import", short_help="Make a run of states that another engine saved.")
@click.argument("states", type=PLACE)
@click.option("--model", required=True, help="The checkpoint they are of: a folder, a hub id or a GGUF file.")
@click.option("--out", required=True, type=PLACE, help="Folder of the run.")
@click.option("--adapter", help="PEFT adapter: a folder or a hub id.")
@click.option(
    "--sample",
    default=16,
    show_default=True,
    type=click.IntRange(min=1),
    help="Rows run again, beside those of the noise floor.",
)
@click.option(
    "--tolerance",
    type=float,
    help="Relative difference up to which a row agrees.  [default: what rounding explains]",
)
@click.option(
    "--dump-layers",
    callback=_numbers,
    help="Layers the engine was asked for, as it numbers them, where its files do not say: 8,16,32.",
)
@import_options
@click.pass_obj
def import_(
    session: Session,
    /,
    states: Path,
    model: str,
    out: Path,
    adapter: str | None,
    sample: int,
    tolerance: float | None,
    dump_layers: list[int] | None,
    **options: Any,
) -> None:
    """Make a run of STATES that another engine made of MODEL, where rows that are run again agree.

    STATES is a file of arrays (safetensors, npz, Parquet), or what vLLM's hidden-state connector, vllm-lens
    or TransformerLens save. Where rows do not agree it is said what they hold, and nothing is written.
    """
    arguments = collect_arguments(session, **options)

    from margin.capture.imported import import_states

    run = import_states(
        states,
        model=model,
        out=out,
        adapter=adapter,
        sample=sample,
        tolerance=tolerance,
        dump_layers=dump_layers,
        **arguments,
    )
    if not arguments["quiet"]:
        print_run(run.manifest, run.path)
