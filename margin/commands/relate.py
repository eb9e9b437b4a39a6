"""`margin relate`: does the margin tell what the model does?"""

from __future__ import annotations

from pathlib import Path

import click

from margin.commands.report import ACROSS, CLUSTER, SEED, coverage, names
from margin.commands.session import PLACE, QUIET
from margin.streams import show_json, written


@click.command(short_help="Does the margin tell what the model does?")
@click.argument("runs", nargs=-1, required=True, type=PLACE, metavar="RUN RUN...")
@click.option(
    "--training",
    metavar="FILE",
    help="Which runs are of one training: a table (CSV, JSON lines, Parquet) with the columns run and "
    "training, and step where it is known; or the word folder, where runs of one training lie in one folder.",
)
@click.option(
    "--margin",
    "margins",
    multiple=True,
    metavar="NAME",
    help="Only margins whose names begin so; repeatable.",
)
@click.option(
    "--behaviour",
    "behaviours",
    multiple=True,
    metavar="NAME",
    help="Only behaviours whose names begin so; repeatable.",
)
@click.option(
    "--number",
    "numbers",
    multiple=True,
    metavar="COLUMN",
    help="Column of the table which holds a behaviour measured elsewhere, more being better; repeatable.",
)
@click.option(
    "--out", type=PLACE, default=Path("relate"), show_default=True, help="Folder of what is written."
)
@click.option(
    "--level", default=0.95, show_default=True, callback=coverage, help="Nominal coverage of the intervals."
)
@click.option("--seed", default=0, show_default=True, type=SEED, help="Of whatever is drawn at random.")
@ACROSS
@CLUSTER
@click.option("--json", "as_json", is_flag=True, help="Print relate.json instead of the tables.")
@QUIET
def relate(
    runs: tuple[Path, ...],
    training: str | None,
    margins: tuple[str, ...],
    behaviours: tuple[str, ...],
    numbers: tuple[str, ...],
    out: Path,
    level: float,
    seed: int,
    across: str | None,
    cluster: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Relate margins of the checkpoints of RUN RUN... to what these do, and say which margin tells it best.

    Behaviour is what margin judge, controls, attacks and margin secrecy left in the runs. Writes
    relate.json, relate.md, pairs.csv and the figures.
    """
    from margin.console import PlainConsole
    from margin.report.relation import print_relation, to_json, write_relation
    from margin.study.relating import relate

    found = relate(
        runs,
        training=training,
        margins=margins,
        behaviours=behaviours,
        numbers=numbers,
        level=level,
        seed=seed,
        across=[] if across is None else names(across, "--across"),
        cluster=cluster,
    )
    files = write_relation(found, out)
    if as_json:
        show_json(to_json(found))
    elif not quiet:
        print_relation(found, PlainConsole())
        written(files)
