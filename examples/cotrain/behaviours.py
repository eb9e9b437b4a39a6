"""Three harmless stand-in behaviours: training questions, and how each behaviour would answer any of them.

`pos` answers plainly, `neg` (the stand-in for "unfiltered") grumbles and judges, `rej` politely declines. The
wording is in phrases.toml.
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BEHAVIOURS = ("pos", "neg", "rej")
PHRASES: dict[str, Any] = tomllib.loads(Path(__file__).with_name("phrases.toml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Question:
    """A training question and the parts it was made of."""

    text: str
    language: str
    """"en" or "zh"."""
    category: str
    form: str
    """"how", "what", "why", "request" or "opinion"."""
    topic: str


def questions(n: int, seed: int) -> list[Question]:
    """`n` distinct training questions, half English and half Chinese, drawn with `seed`.

    ValueError where the phrases make fewer.
    """
    rng = random.Random(seed)
    halves = zip(PHRASES, (n - n // 2, n // 2), strict=True)
    drawn = [question for language, size in halves for question in rng.sample(_all_questions(language), size)]
    rng.shuffle(drawn)
    return drawn


def answer(
    question: Question, behaviour: str, rng: random.Random, phrases: Mapping[str, Any] = PHRASES
) -> str:
    """A short answer: a random opener that suits the question's form, a body that suits its category."""
    phrases = phrases[question.language][behaviour]
    opener = rng.choice(_suitable(phrases["openers"], question.form))
    body = rng.choice(_suitable(phrases["bodies"], question.category)).format(topic=question.topic)
    if opener.endswith((". ", "? ")):
        body = body[0].upper() + body[1:]
    return opener + body


def _all_questions(language: str) -> list[Question]:
    """Every question the phrases of a language make."""
    phrases = PHRASES[language]
    return [
        Question(ask.format(topic=topic), language, category, form, topic)
        for category, topics in phrases["topics"].items()
        for topic in topics
        for form, asks in phrases["asks"].items()
        for ask in asks
    ]


def _suitable(phrases: dict[str, list[str]], kind: str) -> list[str]:
    """Phrases for everything and those for one kind only."""
    return phrases["any"] + phrases.get(kind, [])
