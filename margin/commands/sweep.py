"""`margin sweep`: the margin over the checkpoints of a training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from margin.commands.collect import collect_arguments, collect_options
from margin.commands.report import CLUSTER, coverage
from margin.commands.session import PLACE, Session
from margin.errors import MarginError
from margin.streams import say, show_json, tell, written
from margin.text import shown

if TYPE_CHECKING:
    from margin.analysis.comparison import Against
    from margin.inputs.checkpoints import Saved


@click.command(short_help="The margin over the checkpoints of a training.")
@click.argument("checkpoints", nargs=-1, required=True, metavar="CKPT...")
@click.option("--out", required=True, type=PLACE, help="Folder of the runs and the trajectory.")
@click.option("--model", "base", metavar="BASE", help="Model the checkpoints, being adapters, go on.")
@click.option(
    "--against",
    type=click.Choice(["first", "previous"]),
    default="first",
    show_default=True,
    help="What each checkpoint is compared with.",
)
@click.option(
    "--level", default=0.95, show_default=True, callback=coverage, help="Nominal coverage of the intervals."
)
@CLUSTER
@click.option("--json", "as_json", is_flag=True, help="Print trajectory.json instead of the table.")
@collect_options
@click.pass_obj
def sweep(
    session: Session,
    /,
    checkpoints: tuple[str, ...],
    out: Path,
    base: str | None,
    against: Against,
    level: float,
    cluster: str | None,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """The margin over the checkpoints CKPT... of a training, or of those in a folder.

    Collects each into OUT/NAME as `margin collect` does, going on where it stopped and sharing it with the
    processes of a launch, and writes trajectory.json, trajectory.csv and the figure into OUT.
    """
    from margin.inputs.checkpoints import find_checkpoints, left_out

    found = find_checkpoints(checkpoints, base)
    arguments = collect_arguments(session, quiet=quiet, **options)

    from margin.capture.collect import collect
    from margin.console import PlainConsole
    from margin.inputs.preflight import check_names
    from margin.inputs.prompts import load_prompts
    from margin.launch import launched
    from margin.report.terminal import print_trajectory
    from margin.report.trajectory import to_json, trajectory, write_trajectory
    from margin.run.protocol import require_same_protocol
    from margin.study.spaces import clusters_in

    omitted = list(left_out(checkpoints))
    check_names(
        arguments["modes"],
        {
            f"the name of checkpoint {number}": f"{saved.name} {saved.source}"
            for number, saved in enumerate(found, 1)
        }
        | {"the name of a folder beside the checkpoints": " ".join(folder.name for folder, _ in omitted)},
    )
    if launched()[0] == 0:
        _tell_the_order([saved.name for saved in found], all(saved.step is not None for saved in found))
        _tell_what_is_left_out(omitted, quiet)
    for saved in found:
        _require_fit(saved, out)
    if cluster is not None:
        clusters_in(load_prompts(arguments["prompts"]).table, cluster)
    runs = []
    for number, saved in enumerate(found, 1):
        if not arguments["quiet"]:
            tell(f"{shown(saved.name)} ({number} of {len(found)})")
        model, adapter = (base, saved.source) if saved.is_adapter else (saved.source, None)
        runs.append(collect(model or saved.source, adapter=adapter, out=out / saved.name, **arguments))
        require_same_protocol(runs[0], runs[-1])
    if launched()[0] > 0:
        return
    steps = [saved.step for saved in found]
    measured = trajectory(
        list(zip(runs, steps, strict=True)),
        level=level,
        seed=arguments["seed"],
        against=against,
        cluster=cluster,
    )
    for line in measured.comparison.left_out:
        say(f"left out: {shown(line)}")
    files = write_trajectory(measured, out)
    if as_json:
        show_json(to_json(measured))
    elif not quiet:
        print_trajectory(measured, PlainConsole())
        written(files)


def _require_fit(saved: Saved, out: Path) -> None:
    """MarginError, before anything is run, for what is no checkpoint, or whose run has no place in `out`."""
    from margin.capture.loading import Source
    from margin.report.trajectory import FILES
    from margin.run.folder import require_run_folder

    if saved.name.casefold() in FILES:
        raise MarginError(
            f"a checkpoint named {saved.name} has its run where {out / saved.name} is written: rename it"
        )
    (Source.of_adapter if saved.is_adapter else Source.of_checkpoint)(saved.source)
    require_run_folder(out / saved.name)


def _tell_the_order(names: list[str], stepped: bool) -> None:
    """Say in which order checkpoints are taken that do not all tell a step of their own."""
    if not stepped:
        listed = ", ".join(map(shown, names))
        say(f"not every checkpoint tells a step of its own, the order is {listed}")


def _tell_what_is_left_out(folders: list[tuple[Path, bool]], quiet: bool) -> None:
    """Say which folders beside the checkpoints are no part of the trajectory."""
    if suspect := [shown(folder.name) for folder, looks_like_one in folders if looks_like_one]:
        say(f"left out, without a config.json: {', '.join(suspect)}")
    others = [shown(folder.name) for folder, looks_like_one in folders if not looks_like_one]
    if others and not quiet:
        say(f"left out, no checkpoints: {', '.join(others)}")
