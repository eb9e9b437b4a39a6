"""The table over trainings: every checkpoint of `train_all` measured, each recipe with intervals over both.

    python -m examples.paper_table.seeds measure trained/tiny --out runs/tiny
    python -m examples.paper_table.seeds table runs/tiny

An interval over prompts says what other prompts would have shown of the same checkpoint; here a recipe is
given one over its trainings too. A run that is whole is not made again. Beside each lies a record of its
numbers, which is all that the table needs: the records of the published table are in measured/.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
from scipy import stats

import margin
from examples.cotrain.judge import StandInJudge, errors, worst_error
from examples.paper_table.numbers import Measured, numbers
from examples.paper_table.plans import DPO
from examples.paper_table.table import CAVEAT, PUBLISHED
from examples.paper_table.tokens import load_tokens
from margin.demo import prompts_path
from margin.errors import MarginError
from margin.inputs.prompts import load_prompts
from margin.stats.estimate import Estimate

METHOD = "over prompts and trainings, square-and-add"
MARGINS = ("SAM", "prompt-centred", "leave-prompt-out")
"""How the names of what is no share begin."""
ORDER = ("base", "sft", DPO, "baseline", "naive", "cotrained")
"""Of the columns; other recipes come after them."""
CONTROLS = ("none", "random", "near-miss", "user-turn")


def two_level(found: Sequence[Estimate], level: float = 0.95, share: bool = False) -> Estimate:
    """Mean over trainings, with an interval over prompts and trainings.

    found : the number of each training, each with its interval over the same prompts.
    share : whether it lies between 0 and 1, and its ends too.

    Square-and-add (Zou and Donner, 2008, "Construction of confidence limits about effect measures"): the
    mean distance from a number to its end over prompts, and t s / sqrt(R) over the R trainings. The prompts
    are the same, so that their part does not shrink with R. Of one training it is over prompts alone.
    """
    if len(found) == 1:
        return found[0]
    values = np.array([one.estimate for one in found])
    mean, R, n = float(values.mean()), len(values), found[0].n_prompts
    lows, highs = ([getattr(one, end) for one in found] for end in ("low", "high"))
    if None in lows or None in highs:
        return Estimate(mean, n_prompts=n)
    of_trainings = stats.t.ppf((1 + level) / 2, R - 1) * values.std(ddof=1) / np.sqrt(R)
    down, up = (
        float(np.hypot(np.abs(values - np.array(ends)).mean(), of_trainings)) for ends in (lows, highs)
    )
    low, high = mean - down, mean + up
    if share:
        low, high = max(low, 0.0), min(high, 1.0)
    return Estimate(mean, low, high, level=level, method=METHOD, n_prompts=n)


def table(records: Path) -> pd.DataFrame:
    """One line a recipe and number: recipe, number, estimate, low, high, trainings, each (training's own).

    MarginError where a record is none, or the trainings of a recipe were not measured alike.
    """
    lines: list[dict[str, Any]] = []
    of_recipe: dict[str, list[Measured]] = {}
    for path in sorted(records.glob("*-*.json")):
        one = Measured.read(path)
        of_recipe.setdefault(one.recipe, []).append(one)
    if not of_recipe:
        raise MarginError(f"{records} has no record of a training: make them with `measure`")
    for recipe, trainings in of_recipe.items():
        names = list(trainings[0].numbers)
        if any(list(one.numbers) != names for one in trainings):
            raise MarginError(f"the trainings of {recipe} in {records} were not measured alike")
        for name in names:
            each = [one.numbers[name] for one in trainings]
            found = two_level(each, share=not name.startswith(MARGINS))
            ends = {"low": found.low, "high": found.high}
            values = [round(one.estimate, 4) for one in each]
            of_one = {"recipe": recipe, "number": name, "estimate": found.estimate, **ends}
            lines.append({**of_one, "trainings": len(trainings), "each": values})
    return pd.DataFrame(lines)


def finished(trained: Path) -> list[Path]:
    """Folders of whole checkpoints, by name."""
    return sorted(file.parent for file in trained.glob("*/training.json") if file.parent.suffix != ".partial")


@click.group()
def main() -> None:
    """Measure what was trained, and tell recipes apart."""


@main.command("measure")
@click.argument("trained", type=Path)
@click.option("--out", required=True, type=Path, help="Folder of the runs.")
@click.option("--model", help="Base of adapters, measured too: a folder, a hub id or a GGUF file.")
@click.option("--recipe", "recipes", multiple=True, help="Measure these alone.")
@click.option("--prompts", "limit", default=60, show_default=True, help="Held-out prompts.")
@click.option("--attacks", default="shipped", show_default=True, help="A file of attacks, shipped, or none.")
@click.option(
    "--decoys", default=5, show_default=True, help="Sets of meaningless tokens beside the live ones."
)
@click.option("--english", is_flag=True, help="English prompts alone, as for a base that knows no Chinese.")
def measure_command(
    trained: Path,
    out: Path,
    model: str | None,
    recipes: tuple[str, ...],
    limit: int,
    attacks: str,
    decoys: int,
    english: bool,
) -> None:
    """Collect a run of every checkpoint in TRAINED, and record its numbers."""
    try:
        three, six = load_tokens()
        asked = load_prompts(prompts_path()).table
        asked = asked[asked["language"] == "en"] if english else asked
        asked = asked.sample(min(limit, len(asked)), random_state=0).sort_index()
        checkpoints: dict[str, tuple[str | Path, Path | None]] = {}
        if model is None:
            checkpoints = {folder.name: (folder, None) for folder in finished(trained)}
        else:
            checkpoints = {"base-0": (model, None)}
            checkpoints |= {folder.name: (model, folder) for folder in finished(trained)}
        judge, error = StandInJudge(), worst_error(errors())
        for name, (source, adapter) in checkpoints.items():
            recipe = name.rpartition("-")[0]
            if recipes and recipe not in recipes:
                continue
            run = margin.collect(
                source,
                adapter=adapter,
                prompts=asked,
                modes=six if recipe == "policies" else three,
                out=out / name,
                controls=CONTROLS,
                attacks=None if attacks == "none" else attacks,
                decoys=decoys,
                generate=24,
                layers="none",
            )
            made = trained / name / "training.json"
            training = json.loads(made.read_bytes()) if made.is_file() else {}
            Measured(name, training, dict(numbers(run, judge, error))).write(out)
    except MarginError as error:
        raise click.ClickException(str(error)) from None


@main.command("table")
@click.argument("records", type=Path)
def table_command(records: Path) -> None:
    """Print the table of the RECORDS that `measure` left in a folder."""
    try:
        found = table(records)
    except MarginError as error:
        raise click.ClickException(str(error)) from None
    click.echo("\n".join(printed(found)))


def printed(found: pd.DataFrame) -> Iterator[str]:
    """Pipe tables, a line a number and a column a recipe; recipes whose numbers are the same share one."""
    numbers_of = found.groupby("recipe")["number"].agg(tuple)
    ordered = sorted(numbers_of.index, key=lambda recipe: (*ORDER, recipe).index(recipe))
    cells = found.set_index(["number", "recipe"])
    for names in dict.fromkeys(numbers_of[ordered]):
        recipes = [recipe for recipe in ordered if numbers_of[recipe] == names]
        trained = [f"{recipe} (x{cells.loc[(names[0], recipe), 'trainings']})" for recipe in recipes]
        yield "| | " + " | ".join(trained) + " |"
        yield "|:--|" + "--:|" * len(recipes)
        if PUBLISHED.keys() & set(recipes):
            yield "| published | " + " | ".join(PUBLISHED.get(recipe, "–") for recipe in recipes) + " |"
        for name in names:
            yield f"| {name} | " + " | ".join(_cell(cells.loc[(name, recipe)]) for recipe in recipes) + " |"
        yield ""
    yield CAVEAT


def _cell(line: pd.Series) -> str:
    if pd.isna(line["low"]):
        return f"{line['estimate']:.3f}"
    return f"{line['estimate']:.3f} [{line['low']:.3f}, {line['high']:.3f}]"


if __name__ == "__main__":
    main()
