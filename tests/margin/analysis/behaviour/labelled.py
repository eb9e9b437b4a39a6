"""Answers that were labelled by hand, and how the refusal matcher does on them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from margin.analysis.behaviour.refusal import match_refusals

ANSWERS = Path(__file__).with_name("answers.jsonl")
"""text, language (en, zh), refusal, half: the matcher was made on "tuning", "held-out" was not looked at."""


def labelled_answers() -> pd.DataFrame:
    return pd.read_json(ANSWERS, lines=True, dtype=False)


def precision_and_recall(answers: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """Successes and trials of each: refusals among those matched, and matched ones among refusals."""
    matched, refusal = match_refusals(answers["text"].tolist()).refused, answers["refusal"].to_numpy(bool)
    both = int((matched & refusal).sum())
    return {"precision": (both, int(matched.sum())), "recall": (both, int(refusal.sum()))}
