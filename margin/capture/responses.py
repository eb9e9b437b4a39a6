"""Answers a shard at a time: what the loop runs after the prompts, and what the run keeps of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from margin.capture.answers import answers_table, greedy_answers
from margin.capture.budget import Budget
from margin.capture.checkpoint import Checkpoint
from margin.capture.loop import Forward
from margin.capture.plan import Batch, of_one_length
from margin.capture.rotary import steady_up_to
from margin.inputs.modes import ModeSet
from margin.run.answers import write_part
from margin.run.records import Batching, Greedy
from margin.run.run import Run


@dataclass
class Responses:
    """The model's answers, made when a shard is due."""

    checkpoint: Checkpoint
    modes: ModeSet
    generate: int
    """Tokens of each answer the run keeps; 0 keeps none."""
    positions: int
    """Response positions the run keeps, for which answers are made, too."""
    batching: Batching
    seconds: float = 0.0
    """Time taken so far."""

    @property
    def length(self) -> int:
        """Tokens of each answer that are made."""
        return max(self.positions - 1, self.generate)

    def prepare(
        self,
        forward: Forward,
        batches: Sequence[Batch],
        budget: Budget,
        part: tuple[Path, int] | None,
        advance: Callable[[int], None],
    ) -> Sequence[Batch]:
        """Give `forward` the answers to a shard's rows that its positions need; the batches to run.

        Kept answers go to `part`, a run's folder and the shard's place, before the shard itself is written:
        a shard that is there has its answers. `advance` is told of rows that are answered.
        """
        length = self.length
        if not length:
            return batches
        started = time.perf_counter()
        with forward.hooks.disabled():
            # What is known of padding is of the right side. On the left it is safe for keys and values,
            # unless the longest row of a batch decides how the others' are turned.
            longest = max(len(forward.ids[row]) for batch in batches for row in batch.rows)
            mixed = self.batching.reuse_prefix and longest + length <= steady_up_to(forward.model)
            answers = greedy_answers(
                self.checkpoint, forward.ids, batches, length, budget, mixed=mixed, advance=advance
            )
        if self.generate and part is not None:
            kept = {row: answer.cut(self.generate) for row, answer in answers.items()}
            write_part(*part, answers_table(self.checkpoint, kept, self.modes))
        self.seconds += time.perf_counter() - started
        forward.answers = {row: answer.ids[: forward.positions - 1] for row, answer in answers.items()}
        if self.batching.pad:
            return batches
        return of_one_length(batches, lambda row: len(forward.ids[row]) + len(forward.answers[row]))


def likeliest(run: Run) -> Greedy | None:
    """Of the answers' tokens that the loop was given, how many and which share it finds the likeliest, too.

    Less than all where two ways to compute the same logits differ by rounding, and two tokens are close.
    None where the run holds one position.
    """
    if run.positions == 1:
        return None
    tokens, agreed = (int(np.sum(run.counts(name), dtype=np.int64)) for name in ("n_tokens", "n_likeliest"))
    return Greedy(tokens=tokens, likeliest=agreed / tokens if tokens else None)
