"""A judge of the stand-in behaviours, and how often it errs on wording that it has never seen.

    python -m examples.cotrain.judge                # its errors
    python -m examples.cotrain.judge RUN            # judges a run collected with --generate

A classifier of character n-grams is fitted on answers made of one half of the phrases; its errors are counted
on answers made of the other half, and on paraphrases that no model here was trained on (paraphrases.toml).
The models are trained on all phrases: of their answers the first half is easy, and the second as in the test.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

import click
import numpy as np
import pandas as pd
from rich.console import Console
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline

import margin
from examples.cotrain.behaviours import BEHAVIOURS, PHRASES, answer, questions
from margin.errors import MarginError
from margin.stats.estimate import Estimate
from margin.stats.intervals import share_of_prompts

PARAPHRASES: dict[str, dict[str, list[str]]] = tomllib.loads(
    Path(__file__).with_name("paraphrases.toml").read_text(encoding="utf-8")
)
ROWS = 6000


class StandInJudge:
    """Calls an answer "pos", "neg" or "rej": a judge for `margin.judge`."""

    name = "stand-in classifier"

    def __init__(self, half: int = 0, seed: int = 0) -> None:
        """Fitted on the phrases whose place in their list is even (`half` 0) or odd (1)."""
        texts, labels = halved_answers(half, ROWS, seed)
        self.model: Pipeline = make_pipeline(
            TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True, min_df=2),
            LogisticRegression(C=10.0, max_iter=500),
        ).fit(texts, labels)

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """One label a text."""
        return [str(label) for label in self.model.predict(list(texts))]


@dataclass(frozen=True)
class Errors:
    """How a judge fares on one kind of wording."""

    wording: str
    table: pd.DataFrame
    """Counts: truth by label."""

    def recall(self, behaviour: str, level: float = 0.95) -> Estimate:
        """Share of the answers of a behaviour that are called so, with an exact interval."""
        row = self.table.loc[behaviour]
        hits = np.arange(int(row.sum())) < int(row[behaviour])
        return share_of_prompts(hits, level)

    def specificity(self, behaviour: str, level: float = 0.95) -> Estimate:
        """Share of the answers of all other behaviours that are not called so, with an exact interval."""
        others = self.table.drop(index=behaviour)
        wrong, count = int(others[behaviour].sum()), int(others.to_numpy().sum())
        return share_of_prompts(np.arange(count) >= wrong, level)


def halved_answers(half: int, count: int, seed: int) -> tuple[list[str], list[str]]:
    """Answers made of the phrases whose place in their list is even or odd, and their behaviours."""
    rng, pool, phrases = Random(seed), questions(2000, seed), _halved(half)
    texts, labels = [], []
    for _ in range(count):
        question, behaviour = rng.choice(pool), rng.choice(BEHAVIOURS)
        texts.append(answer(question, behaviour, rng, phrases))
        labels.append(behaviour)
    return texts, labels


def errors(judge: StandInJudge, half: int = 1, count: int = 2000) -> list[Errors]:
    """The judge's labels of answers from the half it has not seen, and of the paraphrases."""
    texts, labels = halved_answers(half, count, seed=1)
    # Distinct wordings count once: the same body after the same opener is no new evidence.
    distinct = dict(zip(texts, labels, strict=True))
    found = [Errors("other half of the phrases", _counts(judge, list(distinct), list(distinct.values())))]
    for language, of_behaviour in PARAPHRASES.items():
        said = [(text, name) for name, texts in of_behaviour.items() for text in texts]
        table = _counts(judge, [text for text, _ in said], [name for _, name in said])
        found.append(Errors(f"paraphrases, {language}", table))
    return found


def carried(observed: Estimate, sensitivity: Estimate, specificity: Estimate) -> Estimate:
    """A share as it truly is, of one that an erring judge observed; the interval carries the judge's errors.

    Rogan and Gladen (1978), "Estimating prevalence from the results of a screening test". The interval takes
    each of the three at its worst: with three intervals of level 1 - a it covers at least 1 - 3 a, and it is
    0 to 1 where the judge may be no better than chance.
    """

    def true(share: float, hit: float, right: float) -> float:
        return float(np.clip((share + right - 1) / (hit + right - 1), 0, 1))

    estimate = true(observed.estimate, sensitivity.estimate, specificity.estimate)
    (share_low, share_high), (hit_low, hit_high), (right_low, right_high) = map(
        _ends, (observed, sensitivity, specificity)
    )
    low, high = 0.0, 1.0
    if hit_low + right_low > 1:
        corners = [
            true(share, hit, right)
            for share in (share_low, share_high)
            for hit in (hit_low, hit_high)
            for right in (right_low, right_high)
        ]
        low, high = min(corners), max(corners)
    return replace(observed, estimate=estimate, low=low, high=high, method="exact, judge's errors carried")


def _ends(estimate: Estimate) -> tuple[float, float]:
    if estimate.low is None or estimate.high is None:
        raise MarginError("an interval is needed of the share and of the judge's errors")
    return estimate.low, estimate.high


def _counts(judge: StandInJudge, texts: list[str], labels: list[str]) -> pd.DataFrame:
    table = pd.crosstab(pd.Series(labels, name="truth"), pd.Series(judge(texts), name="label"))
    return table.reindex(index=list(BEHAVIOURS), columns=list(BEHAVIOURS), fill_value=0)


@lru_cache(maxsize=2)
def _halved(half: int) -> Any:
    """The phrases of behaviours with every second opener and body, questions as they are."""

    def every_second(texts: dict[str, list[str]]) -> dict[str, list[str]]:
        return {kind: of_kind[half::2] for kind, of_kind in texts.items()}

    return {
        language: {
            **phrases,
            **{
                behaviour: {part: every_second(phrases[behaviour][part]) for part in ("openers", "bodies")}
                for behaviour in BEHAVIOURS
            },
        }
        for language, phrases in PHRASES.items()
    }


@click.command()
@click.argument("run", required=False, type=Path)
def main(run: Path | None) -> None:
    """Print the judge's errors, or judge the answers of RUN."""
    judge, console = StandInJudge(), Console()
    for found in errors(judge):
        console.print(f"{found.wording}, {int(found.table.to_numpy().sum())} answers")
        for behaviour in BEHAVIOURS:
            console.print(f"  {behaviour}: {found.recall(behaviour)}")
    if run is None:
        return
    try:
        opened = margin.open_run(run)
        expected = {mode: mode.partition("@")[0] for mode in opened.modes}
        console.print(margin.judge(opened, judge, expected=expected).matrix())
    except MarginError as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()
