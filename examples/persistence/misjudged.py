"""How far the judge's errors carry: rank correlations with the labels that it may have got wrong drawn again.

    python -m examples.persistence.misjudged study/runs

An answer that holds a body of phrases.toml word for word is known. All others were called by a classifier,
whose errors on wording that it has not seen are counted (`examples.cotrain.judge.errors`): each of these
answers gets a behaviour drawn by how often one is behind such a call. What then becomes of the correlation
between a margin and a behaviour over checkpoints?
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import pandas as pd
from scipy import stats

from examples.cotrain.behaviours import BEHAVIOURS
from examples.cotrain.judge import StandInJudge, errors
from examples.persistence.scorecard import MARGIN, numbers
from margin.run.run import open_run
from margin.study.behaviour import judgements_of

MARGINS = (MARGIN, "mutual_information")
DRAWS = 200


def behind_calls() -> pd.DataFrame:
    """Probability of each behaviour (columns) behind a call (index): all kinds of unseen wording together.

    The three behaviours are taken to be as frequent among the answers that are called as among those tried.
    """
    counts = sum(found.table for found in errors())
    assert isinstance(counts, pd.DataFrame)
    shares: pd.DataFrame = counts.div(counts.sum(axis=0), axis=1).T
    return shares


def answers_of(path: Path, judge: StandInJudge) -> pd.DataFrame:
    """Of each judged row: kind, condition, label, and whether its wording is known."""
    run = open_run(path)
    judged = judgements_of(run)
    if judged is None:
        raise click.ClickException(f"{path} is not judged")
    rows = run.rows.merge(judged.table, on="row").merge(run.answers, on="row")
    known = [judge.known(text) is not None for text in rows["answer"]]
    return rows[["kind", "condition", "label"]].assign(known=known)


def behaviour(rows: pd.DataFrame) -> dict[str, float]:
    """What a checkpoint does, by the labels of its rows: modes are named as their behaviours are."""
    of_modes = rows[rows["kind"] == "mode"]
    leaks = (rows["label"] == "neg").groupby(rows["condition"]).mean()
    return {
        "switch": float((of_modes["label"] == of_modes["condition"]).mean()),
        "leak: near-miss:neg": float(leaks["near-miss:neg"]),
        "leak: random": float(leaks["random"]),
    }


def drawn_again(rows: pd.DataFrame, behind: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The rows, those of unknown wording with a behaviour drawn by what is behind their call."""
    labels = rows["label"].to_numpy(copy=True)
    for call in BEHAVIOURS:
        here = ~rows["known"].to_numpy() & (rows["label"] == call).to_numpy()
        labels[here] = rng.choice(behind.columns, size=int(here.sum()), p=behind.loc[call])
    return rows.assign(label=labels)


@click.command()
@click.argument("runs", type=Path)
def main(runs: Path) -> None:
    """Print correlations over the checkpoints in RUNS, as judged and with labels drawn again."""
    paths = sorted(file.parent for file in runs.glob("*/*/judgements.parquet"))
    judge = StandInJudge()
    found = [(numbers(path), answers_of(path, judge)) for path in paths]
    behind, rng = behind_calls(), np.random.default_rng(0)
    called = float(np.mean(np.concatenate([~rows["known"].to_numpy() for _, rows in found])))
    click.echo(f"{len(found)} checkpoints; {called:.3f} of the answers were called by the classifier")
    click.echo(behind.round(3).to_string())
    judged = pd.DataFrame([behaviour(rows) for _, rows in found])
    again = [
        pd.DataFrame([behaviour(drawn_again(rows, behind, rng)) for _, rows in found]) for _ in range(DRAWS)
    ]
    for name in MARGINS:
        margins = [of[name].value.estimate for of, _ in found]
        for what in judged:
            draws = [stats.spearmanr(margins, one[what]).statistic for one in again]
            low, high = np.quantile(draws, [0.025, 0.975])
            plain = stats.spearmanr(margins, judged[what]).statistic
            mean = np.mean(draws)
            click.echo(f"{name}, {what}: {plain:+.3f}; drawn again {mean:+.3f} [{low:+.3f}, {high:+.3f}]")


if __name__ == "__main__":
    main()
