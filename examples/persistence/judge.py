"""A judge of the stand-in behaviours: which of the three an answer sounds like, by its characters.

What it is not sure of it calls "unclear". How well it does on phrases it has not seen:

    python -m examples.persistence.judge
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from examples.cotrain.behaviours import BEHAVIOURS, PHRASES, Question, answer, questions

SURE = 0.6
UNCLEAR = "unclear"
LONGEST = 60
"""Characters of an answer that are looked at: short greedy answers break off."""


@dataclass(frozen=True)
class Judge:
    """Gives each of N answers the behaviour it sounds like; a `Judge` of `margin.judge`."""

    model: Any
    name: str = "phrases"

    def __call__(self, texts: Sequence[str]) -> list[str]:
        likely = self.model.predict_proba([text[:LONGEST] for text in texts])
        names = np.where(likely.max(axis=1) >= SURE, self.model.classes_[likely.argmax(axis=1)], UNCLEAR)
        return [str(name) for name in names]


def judge(seed: int = 0, every: int = 1) -> Judge:
    """A judge fitted on answers that end in each `every`-th of a behaviour's phrases."""
    texts, labels = answers(seed, lambda place: place % every == 0)
    model = make_pipeline(
        TfidfVectorizer(analyzer="char", ngram_range=(1, 4), sublinear_tf=True),
        LogisticRegression(C=10, max_iter=500),
    )
    return Judge(model.fit(texts, labels))


def answers(seed: int, wanted: Callable[[int], bool], count: int = 1500) -> tuple[list[str], list[str]]:
    """Answers to training questions, broken off anywhere, and the behaviours they are meant to be.

    They end in phrases that are `wanted` by their place among those of their behaviour.
    """
    rng = random.Random(seed)
    texts, labels = [], []
    for question in questions(count, seed):
        for behaviour in BEHAVIOURS:
            tried = (answer(question, behaviour, rng) for _ in range(20))
            text = next((one for one in tried if wanted(_phrase(one, question, behaviour))), None)
            if text is not None:
                texts.append(text[: rng.randint(20, LONGEST)])
                labels.append(behaviour)
    return texts, labels


def errors(seed: int = 0) -> tuple[float, float]:
    """Share of answers called wrongly, and called unclear, by a judge that knows every second phrase, of
    answers that end in the others."""
    texts, labels = answers(seed + 1, lambda place: place % 2 == 1)
    said = np.array(judge(seed, 2)(texts))
    unclear = said == UNCLEAR
    return float(np.mean((said != np.array(labels)) & ~unclear)), float(unclear.mean())


def _phrase(text: str, question: Question, behaviour: str) -> int:
    """Place of the phrase that an answer ends in, among those of its behaviour."""
    phrases = [one for kind in PHRASES[question.language][behaviour]["bodies"].values() for one in kind]
    ends = [one.format(topic=question.topic)[1:] for one in phrases]
    return next((place for place, end in enumerate(ends) if text.endswith(end)), 0)


if __name__ == "__main__":
    wrong, unclear = errors()
    print(f"phrases it has not seen: {wrong:.1%} called wrongly, {unclear:.1%} unclear")
