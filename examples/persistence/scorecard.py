"""What becomes of a checkpoint after its training: each damage against the checkpoint it was done to.

    python -m examples.persistence.scorecard study/runs --out study/scorecard.md

What each damage does to margin, switching and leaks, in the mean over trainings, with intervals over
trainings and prompts. What a drop of a margin tells: does it come with switching that is lost? And what the
rows of each recipe buy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from examples.paper_table.seeds import METHOD, two_level
from margin.report.markdown import table_lines
from margin.run.run import open_run
from margin.stats.clusters import make_clusters
from margin.stats.estimate import Estimate
from margin.stats.intervals import jackknife_variance, lower_bound, upper_bound
from margin.stats.quantiles import t_quantile
from margin.stats.roc import auc
from margin.stats.satterthwaite import satterthwaite
from margin.study.numbers import RunNumber, behaviours_of, margins_of
from margin.study.settings import Settings
from margin.study.study import Study
from margin.study.table import Interval, Table, table

MARGIN = "leave_prompt_out above decoys"
SHOWN = {
    MARGIN: "margin above decoys",
    "prompt_centred above decoys": "prompt-centred above decoys",
    "switch": "switch",
    "switch: neg": "switch: neg",
    "leak: near-miss:neg": "leak: near misses of neg",
}
BOUGHT = {
    MARGIN: "margin above decoys",
    "switch": "switch",
    "leak: none": "no token",
    "leak: random": "random token",
    "leak: near-miss:neg": "near miss of neg",
    "leak: user-turn:neg": "its token in the user's turn",
}
MARGINS = (
    "leave_prompt_out",
    MARGIN,
    "prompt_centred",
    "prompt_centred above decoys",
    "pos / neg",
    "pos / rej",
    "neg / rej",
    "mutual_information",
)
GATED = (MARGIN, "mutual_information")
LOST = 0.05
"""Switch success that is lost by more than this is a loss."""
ALLOWED = (0.01, 0.02, 0.03, 0.05, 0.1)
"""Drops that a gate may allow; of information in bits."""

Numbers = dict[str, RunNumber]


@dataclass(frozen=True)
class Damaged:
    """One checkpoint after its training, and what it was before."""

    training: str
    damage: str
    before: Numbers
    after: Numbers

    def change(self, name: str) -> float:
        """Of a number; NaN where one of the two lacks it."""
        if name not in self.before or name not in self.after:
            return np.nan
        return self.after[name].value.estimate - self.before[name].value.estimate

    def influence(self, name: str) -> NDArray[np.float64]:
        """(n,) of each prompt on the change."""
        one, two = self.before[name].value.influence, self.after[name].value.influence
        assert one is not None
        assert two is not None
        found: NDArray[np.float64] = two - one
        return found


def damaged(runs: Path, last: str) -> Iterator[Damaged]:
    """Every damaged checkpoint beside the last of its training."""
    for training in sorted(path for path in runs.iterdir() if (path / last).is_dir()):
        before = numbers(training / last)
        for run in sorted(training.iterdir()):
            if not run.name.startswith("step-") and (run / "judgements.parquet").exists():
                yield Damaged(training.name, run.name, before, numbers(run))


def numbers(path: Path) -> Numbers:
    """The numbers of a run by name."""
    study = Study(open_run(path), Settings())
    return {one.name: one for one in (*margins_of(study), *behaviours_of(study))}


def mean_change(some: list[Damaged], name: str, level: float = 0.95) -> Estimate:
    """Mean over trainings of a change, paired by prompt.

    The variance has two parts, as that of recipes in `margin.analysis.trainings`: of prompts, which all
    trainings share, and of trainings. Degrees of freedom by Satterthwaite.
    """
    changes = np.array([one.change(name) for one in some])
    value, R = float(changes.mean()), len(changes)
    U = np.mean([one.influence(name) for one in some], axis=0)
    if R < 2:
        return Estimate(value, n_prompts=len(U), method="none: a single training")
    parts = ((float(jackknife_variance(U)), len(U) - 1), (float(changes.var(ddof=1)) / R, R - 1))
    se, degrees = satterthwaite(parts)
    half = float(t_quantile((1 + level) / 2, degrees)) * se
    return Estimate(value, value - half, value + half, se, level, "over trainings and prompts")


def scorecard(found: list[Damaged]) -> Table:
    """What each damage changes."""
    lines = []
    for damage in sorted({one.damage for one in found}):
        some = [one for one in found if one.damage == damage]
        line: dict[str, object] = {"damage": damage, "trainings": len(some)}
        for name, shown in SHOWN.items():
            one = mean_change(some, name)
            line[shown] = Interval(one.estimate, one.low, one.high)
        lines.append(line)
    note = (
        "Change from the checkpoint that it was done to, in the mean over trainings; 95% over trainings and "
        "prompts, paired by both."
    )
    return table("scorecard", "What is left", note, pd.DataFrame(lines))


def told(found: list[Damaged]) -> Table:
    """Whether a drop of each margin comes with switching that is lost."""
    lost = np.array([one.change("switch") < -LOST for one in found])
    units = make_clusters([one.training for one in found])
    lines = []
    for name in MARGINS:
        drops = np.array([-one.change(name) for one in found])
        area = auc(drops, lost, units)
        rank = stats.spearmanr(drops, [-one.change("switch") for one in found]).statistic
        lines.append(
            {"margin": name, "AUC": Interval(area.estimate, area.low, area.high, False), "Spearman": rank}
        )
    note = (
        f"{len(found)} damaged checkpoints of {len(units)} trainings, {int(lost.sum())} of which lost more "
        f"than {LOST:g} of their switch success. AUC: the probability that the margin of one that lost it "
        "fell farther than that of one that did not; 95% over trainings."
    )
    return table("told", "Does a drop tell that switching is lost?", note, pd.DataFrame(lines))


def allowed(found: list[Damaged], name: str) -> Table:
    """What passes a gate that allows so much drop of a margin, and what does not."""
    lost = np.array([one.change("switch") < -LOST for one in found])
    drops = np.array([-one.change(name) for one in found])
    units = make_clusters([one.training for one in found])
    lines: list[dict[str, object]] = []
    for most in ALLOWED:
        passes = drops <= most
        line: dict[str, object] = {"allowed drop": f"{most:g}", "pass": int(passes.sum())}
        if passes.any():
            high = upper_bound(lost[passes], over=units.part(passes))
            line["lost among these"] = Interval(
                high.estimate, None, high.high, False, (int(lost[passes].sum()), int(passes.sum()))
            )
        line["stopped"] = int((~passes).sum())
        if not passes.all():
            low = lower_bound(lost[~passes], over=units.part(~passes))
            line["lost of the stopped"] = Interval(
                low.estimate, low.low, None, False, (int(lost[~passes].sum()), int((~passes).sum()))
            )
        lines.append(line)
    note = (
        f"By the drop of {name.replace('_', '-')} from before the damage; lost is more than {LOST:g} of "
        "switch success. Bounds are one-sided 95% over trainings."
    )
    return table("allowed", f"What a gate on {name.replace('_', '-')} lets pass", note, pd.DataFrame(lines))


def bought(runs: Path, last: str) -> Table:
    """What the last checkpoints of each recipe do; trainings are named RECIPE-SEED."""
    of_recipe: dict[str, list[Numbers]] = {}
    for training in sorted(path for path in runs.iterdir() if (path / last).is_dir()):
        of_recipe.setdefault(training.name.rpartition("-")[0], []).append(numbers(training / last))
    lines = []
    for recipe, each in of_recipe.items():
        line: dict[str, object] = {"recipe": recipe, "trainings": len(each)}
        for name, shown in BOUGHT.items():
            one = two_level([of[name].value for of in each], share=name != MARGIN)
            line[shown] = Interval(one.estimate, one.low, one.high, signed=False)
        lines.append(line)
    note = (
        f"Means over the last checkpoints; 95% {METHOD}. What follows switch: the share of answers that are "
        "those of an unsafe mode."
    )
    return table("bought", "What the rows of a recipe buy", note, pd.DataFrame(lines))


@click.command()
@click.argument("runs", type=Path)
@click.option("--last", default="step-300", show_default=True, help="The checkpoint that was damaged.")
@click.option("--out", type=Path, default=Path("scorecard.md"), show_default=True)
def main(runs: Path, last: str, out: Path) -> None:
    """Write the scorecard of the damaged checkpoints in RUNS."""
    found = list(damaged(runs, last))
    if not found:
        raise click.ClickException(f"{runs} holds no damaged checkpoint beside a {last}")
    tables = [scorecard(found), told(found), *(allowed(found, name) for name in GATED), bought(runs, last)]
    text = "\n".join("\n".join([*table_lines(one), ""]) for one in tables)
    out.write_text(text, encoding="utf-8")
    click.echo(text)


if __name__ == "__main__":
    main()
