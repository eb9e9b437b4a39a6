"""`margin compare`: numbers from runs on disk beside each other, without torch."""

from __future__ import annotations

from pathlib import Path

import click

from margin.commands.report import ACROSS, CLUSTER, SEED, coverage, names
from margin.commands.session import PLACE
from margin.errors import MarginError
from margin.streams import say, show_json
from margin.text import json_text, shown


@click.command(short_help="Margins of several runs, paired by prompt.")
@click.argument("runs", nargs=-1, type=PLACE)
@click.option(
    "--recipe",
    "recipes",
    multiple=True,
    metavar="NAME=RUN,...",
    help="Runs of several trainings of one recipe; given twice, the recipes are compared over trainings too.",
)
@click.option(
    "--level", default=0.95, show_default=True, callback=coverage, help="Nominal coverage of the intervals."
)
@click.option(
    "--drop", default=0.01, show_default=True, help="Drop that would matter: what power and prompts are for."
)
@click.option("--seed", default=0, show_default=True, type=SEED, help="Of the simultaneous intervals.")
@CLUSTER
@ACROSS
@click.option("--json", "as_json", is_flag=True, help="Every margin and difference, as JSON.")
def compare(
    runs: tuple[Path, ...],
    recipes: tuple[str, ...],
    level: float,
    drop: float,
    seed: int,
    cluster: str | None,
    across: str | None,
    as_json: bool,
) -> None:
    """Margins of RUNS against the first, paired on the prompts they share.

    Runs whose models were asked differently (live tokens, chat template, response prefix, ...) are refused:
    a difference would be that of the questions. Models of two families cannot be asked alike; --across says
    that this is known.
    """

    from margin.console import PlainConsole
    from margin.report.recipes import print_recipes, recipe_record
    from margin.report.terminal import print_comparison
    from margin.study.comparison import compare as compare_runs
    from margin.study.comparison import compare_recipes

    if recipes and runs:
        raise MarginError("name runs, or recipes with --recipe, not both")
    if len(runs) < 2 and not recipes:
        raise MarginError("nothing to compare: name two runs or more")
    allowed = [] if across is None else names(across, "--across")
    if recipes:
        of_names = dict(map(_recipe, recipes))
        if len(recipes) != 2 or len(of_names) != 2:
            raise MarginError("--recipe compares two recipes: give it twice, with a name each")
        between = compare_recipes(*of_names.values(), level=level, across=allowed, cluster=cluster)
        if as_json:
            show_json(json_text(recipe_record(between, tuple(of_names)), indent=2))
        else:
            print_recipes(between, tuple(of_names), PlainConsole())
        return
    found = compare_runs(*runs, level=level, seed=seed, drop=drop, across=allowed, cluster=cluster)
    if as_json:
        show_json(json_text(found.to_dict(), indent=2))
    else:
        print_comparison(found, PlainConsole())
    for line in found.left_out:
        say(f"left out: {shown(line)}")
    for line in found.across:
        say(f"asked differently: {line}")


def _recipe(given: str) -> tuple[str, list[Path]]:
    """Name and runs of a recipe as --recipe gives them; no token of these runs stands in the name."""
    from margin.run.fingerprints import without_tokens
    from margin.run.manifest import read_manifest

    name, equals, runs = given.partition("=")
    if not (name and equals and runs):
        raise MarginError(f"--recipe {given!r} is no recipe: write NAME=RUN,RUN,...")
    paths = list(map(Path, names(runs, f"--recipe {name}")))
    for path in paths:
        name = without_tokens(read_manifest(path), name)
    return name, paths
