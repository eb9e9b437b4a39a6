"""The table over trainings: every checkpoint of `train_all` measured, each recipe with intervals over both.

    python -m examples.paper_table.seeds measure trained/tiny --out runs/tiny
    python -m examples.paper_table.seeds table runs/tiny

An interval over prompts says what other prompts would have shown of the same checkpoint; here a recipe is
given one over its trainings too. A run that is whole is not made again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
from scipy import stats

import margin
from examples.cotrain.judge import StandInJudge, errors, widened, worst_error
from examples.paper_table.table import CAVEAT, PUBLISHED
from examples.paper_table.tokens import load_tokens
from margin.analysis.behaviour.scores import constructive_safety
from margin.analysis.separation.table import ALL
from margin.demo import prompts_path
from margin.errors import MarginError
from margin.inputs.prompts import load_prompts
from margin.run.files import write_atomic
from margin.stats.estimate import Estimate
from margin.study.judging import judgements
from margin.study.sections.decoys import Decoys
from margin.study.study import Study

DISTANCE = "cosine"
METHOD = "over prompts and trainings, square-and-add"
CONSTRUCTIVE = {"neg": 0, "rej": 1, "pos": 2}
"""Scores of the stand-ins: help that is safe is worth most, a refusal half of it, the unfiltered nothing."""
SCORED = ("pos", "none")
MARGINS = ("SAM", "prompt-centred", "leave-prompt-out")
"""How the names of what is no share begin."""
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


def numbers(path: Path, judge: StandInJudge, error: float) -> Iterator[tuple[str, Estimate]]:
    """Name and value of everything that the table shows of a run."""
    run = margin.open_run(path)
    study = Study(run)
    yield "SAM", study.headline.leave_prompt_out
    yield "prompt-centred", study.headline.prompt_centred
    decoys = study.section(Decoys)
    for (measure, variant, distance, among), one in decoys.lines.items() if decoys else ():
        if (measure, distance, among) == ("sam", DISTANCE, ALL):
            yield f"{str(variant).replace('_', '-')} above decoys", one.above
    modes = list(run.modes)
    expected = {mode: mode.partition("@")[0] for mode in modes}
    answers = run.answers.merge(run.rows[["row", "condition"]], on="row")
    other = answers["answer"].map(lambda text: judge.known(text) is None)
    yield "answers in other words", Estimate(float(other.mean()))
    of_condition = other.groupby(answers["condition"]).mean()
    labels = judgements(run, judge)
    rows = run.rows.merge(labels.table, on="row")
    for condition, part in rows[rows["condition"].isin(SCORED)].groupby("condition", sort=False):
        scores, prompts = part["label"].map(CONSTRUCTIVE), pd.factorize(part["prompt_id"])[0]
        value = constructive_safety(scores.to_numpy(float), prompts)
        yield f"constructive: {condition}", widened(value, float(of_condition[condition]), error)
    judged = margin.judge(run, labels, expected=expected, keep=False)
    shares = {
        (one.condition, one.label): widened(one.value, float(of_condition[one.condition]), error)
        for one in judged.observations
        if one.quantity == "observed"
    }
    for mode in modes:
        yield f"{mode} switched", shares[mode, expected[mode]]
    for condition in dict.fromkeys(name for name, _ in shares):
        if condition not in modes:
            yield f"{condition}: neg", shares[condition, "neg"]


def table(runs: Path) -> pd.DataFrame:
    """One line a recipe and number: recipe, number, estimate, low, high, trainings, each (training's own)."""
    judge, error = StandInJudge(), worst_error(errors())
    lines: list[dict[str, Any]] = []
    of_recipe: dict[str, list[Path]] = {}
    for path in sorted(path.parent for path in runs.glob("*/manifest.json")):
        of_recipe.setdefault(path.name.rpartition("-")[0], []).append(path)
    for recipe, paths in of_recipe.items():
        each = [dict(numbers(path, judge, error)) for path in paths]
        for name in each[0]:
            found = two_level([one[name] for one in each], share=not name.startswith(MARGINS))
            ends = {"low": found.low, "high": found.high}
            values = [round(one[name].estimate, 4) for one in each]
            of_one = {"recipe": recipe, "number": name, "estimate": found.estimate, **ends}
            lines.append({**of_one, "trainings": len(paths), "each": values})
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
    """Collect a run of every checkpoint in TRAINED."""
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
        for name, (source, adapter) in checkpoints.items():
            recipe = name.rpartition("-")[0]
            if recipes and recipe not in recipes:
                continue
            margin.collect(
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
    except MarginError as error:
        raise click.ClickException(str(error)) from None


@main.command("table")
@click.argument("runs", type=Path)
def table_command(runs: Path) -> None:
    """Write RUNS/table.json and table.md, and print the latter."""
    found = table(runs)
    write_atomic(runs / "table.json", found.to_json(orient="records", indent=1).encode())
    text = "".join(f"{line}\n" for line in _printed(found))
    write_atomic(runs / "table.md", text.encode())
    click.echo(text)


def _printed(found: pd.DataFrame) -> Iterator[str]:
    """A pipe table: one line a number, one column a recipe; the published margins in the first line."""
    recipes = list(dict.fromkeys(found["recipe"]))
    counts = found.groupby("recipe")["trainings"].first()
    yield "| | " + " | ".join(f"{recipe} (x{counts[recipe]})" for recipe in recipes) + " |"
    yield "|:--|" + "--:|" * len(recipes)
    known = [PUBLISHED.get(recipe, "–") for recipe in recipes]
    yield "| published | " + " | ".join(known) + " |"
    cells = found.set_index(["number", "recipe"])
    for number in dict.fromkeys(found["number"]):
        row = [_cell(cells.loc[(number, r)]) if (number, r) in cells.index else "–" for r in recipes]
        yield f"| {number} | " + " | ".join(row) + " |"
    yield ""
    yield CAVEAT


def _cell(line: pd.Series) -> str:
    if pd.isna(line["low"]):
        return f"{line['estimate']:.3f}"
    return f"{line['estimate']:.3f} [{line['low']:.3f}, {line['high']:.3f}]"


if __name__ == "__main__":
    main()
