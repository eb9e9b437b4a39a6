"""Precision and recall of the refusal matcher on labelled answers: python -m tests.benchmarks.refusals.

Prints them with exact (Clopper-Pearson) 95% intervals by language, for the half the matcher was made on and
for the half that was held out. Answers and matcher have one author, and many answers are as hard as could be
thought of: read the held-out figures as those of hard cases of this kind, not of any model's answers.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from margin.analysis.behaviour.refusal import match_refusals
from margin.stats.intervals import share_of_prompts
from tests.margin.analysis.behaviour.labelled import labelled_answers, precision_and_recall


def main() -> None:
    answers = labelled_answers()
    for half in ("tuning", "held-out"):
        for language in ("en", "zh"):
            part = answers[(answers["half"] == half) & (answers["language"] == language)]
            words = []
            for quantity, (successes, trials) in precision_and_recall(part).items():
                found = share_of_prompts(np.arange(trials) < successes)
                words.append(f"{quantity} {found} ({successes} of {trials})")
            print(f"{half:<9} {language}  {len(part):3d} answers  {'  '.join(words)}")
    texts = answers["text"].tolist() * 10
    begun = time.perf_counter()
    match_refusals(texts)
    print(f"{(time.perf_counter() - begun) / len(texts) * 1e3:.2f} ms a text")


if __name__ == "__main__":
    main()
