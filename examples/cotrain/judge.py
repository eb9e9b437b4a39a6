"""A judge of the stand-in behaviours, and how often it errs on wording that it has never seen.

    python -m examples.cotrain.judge                # its errors
    python -m examples.cotrain.judge RUN            # judges a run collected with --generate

An answer that holds a body of phrases.toml word for word is of that body's behaviour: no body is of two. All
other answers are called by a classifier of n-grams. How often it errs is counted on wording it was not fitted
on: fitted on one half of the phrases and tried on the other, and tried on paraphrases, on half of which it is
fitted (paraphrases.toml; no model is trained on them). Intervals are widened by these errors, for the share
of answers that the classifier had to call.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
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
from sklearn.pipeline import Pipeline, make_pipeline, make_union

import margin
from examples.cotrain.behaviours import BEHAVIOURS, PHRASES, answer, questions
from margin.errors import MarginError
from margin.stats.estimate import Estimate
from margin.stats.intervals import share_of_prompts

PARAPHRASES: dict[str, dict[str, list[str]]] = tomllib.loads(
    Path(__file__).with_name("paraphrases.toml").read_text(encoding="utf-8")
)


class StandInJudge:
    """Calls an answer "pos", "neg" or "rej": a judge for `margin.judge`."""

    name = "stand-in judge"

    def __init__(self, halves: Sequence[int] = (0, 1), verbatim: bool = True) -> None:
        """Fitted on the phrases at even places of their lists (0), at odd ones (1), or on all.

        verbatim : whether known wording is known; False leaves all to the classifier.
        """
        texts, labels = map(list, zip(*(pair for half in halves for pair in pieces(half)), strict=True))
        for text, label, place in paraphrases():
            if place % 2 == 0:
                texts.append(text)
                labels.append(label)
        words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\w+|[^\w\s]", sublinear_tf=True)
        letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 3), sublinear_tf=True)
        classifier = LogisticRegression(C=10.0, max_iter=500, class_weight="balanced")
        self.model: Pipeline = make_pipeline(make_union(letters, words), classifier).fit(texts, labels)
        self.bodies = [pair for half in halves for pair in bodies(half)] if verbatim else []

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """One label a text."""
        called = self.model.predict(list(texts))
        return [self.known(text) or str(label) for text, label in zip(texts, called, strict=True)]

    def known(self, text: str) -> str | None:
        """The behaviour whose body stands in the text word for word, if one's does."""
        return next((label for body, label in self.bodies if body.search(text)), None)


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


def pieces(half: int) -> Iterator[tuple[str, str]]:
    """Openers and bodies at the even or odd places of their lists, and the behaviour of each."""
    for language in PHRASES:
        for behaviour in BEHAVIOURS:
            for part in ("openers", "bodies"):
                for of_kind in PHRASES[language][behaviour][part].values():
                    for text in of_kind[half::2]:
                        yield text.replace("{topic}", ""), behaviour


def bodies(half: int) -> Iterator[tuple[re.Pattern[str], str]]:
    """What finds each body with any topic in it, whatever the case of its first letter; and its behaviour."""
    for language in PHRASES:
        for behaviour in BEHAVIOURS:
            for of_kind in PHRASES[language][behaviour]["bodies"].values():
                for body in of_kind[half::2]:
                    parts = map(re.escape, body.split("{topic}"))
                    yield re.compile(".{1,40}".join(parts), re.IGNORECASE), behaviour


def paraphrases() -> Iterator[tuple[str, str, int]]:
    """Every paraphrase, its behaviour, and its place."""
    for of_behaviour in PARAPHRASES.values():
        for behaviour, texts in of_behaviour.items():
            for place, text in enumerate(texts):
                yield text, behaviour, place


def errors(count: int = 2000) -> list[Errors]:
    """How the classifier fares on whole answers from wording it has not seen, and on unseen paraphrases."""
    found = []
    for half in (0, 1):
        rng, pool, phrases = Random(half), questions(2000, half), _halved(1 - half)
        drawn = [(rng.choice(pool), rng.choice(BEHAVIOURS)) for _ in range(count)]
        # The same answer twice is no new evidence.
        texts = {answer(question, name, rng, phrases): name for question, name in drawn}
        judge = StandInJudge([half], verbatim=False)
        found.append(Errors(f"the half of the phrases not seen ({1 - half})", _counts(judge, texts)))
    unseen = {text: name for text, name, place in paraphrases() if place % 2 == 1}
    found.append(
        Errors("the half of the paraphrases not seen", _counts(StandInJudge(verbatim=False), unseen))
    )
    return found


def widened(share: Estimate, judged: float, error: float) -> Estimate:
    """A share with an interval for an erring judge.

    judged : share of the answers that the classifier had to call. error : how often it errs, at most. In the
    worst case all its errors have gone one way: each end moves by `judged` times `error`.
    """
    if share.low is None or share.high is None:
        return share
    low, high = max(0.0, share.low - judged * error), min(1.0, share.high + judged * error)
    return replace(share, low=low, high=high, method=f"{share.method}, widened by the judge's errors")


def worst_error(found: Sequence[Errors]) -> float:
    """Upper bound of the classifier's error on the behaviour and wording where it errs most."""
    return max(1 - float(one.recall(name).low or 0) for one in found for name in BEHAVIOURS)


def _counts(judge: StandInJudge, of_text: Mapping[str, str]) -> pd.DataFrame:
    truth, label = pd.Series(of_text.values(), name="truth"), pd.Series(judge(list(of_text)), name="label")
    return pd.crosstab(truth, label).reindex(index=list(BEHAVIOURS), columns=list(BEHAVIOURS), fill_value=0)


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
    for found in errors():
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
