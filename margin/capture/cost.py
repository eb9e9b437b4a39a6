"""What a run will cost, said before it starts: rows, tokens, time and room on the disk."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.filesize import decimal
from torch import nn

from margin.capture.plan import BATCH_COST, Batch
from margin.errors import MarginError
from margin.inputs.options import CaptureOptions
from margin.run.manifest import Manifest
from margin.text import counted

FLOAT, HALF, INTEGER = 4, 2, 4
"""Bytes of the numbers that shards hold."""


@dataclass(frozen=True)
class Cost:
    """What the rows that a run lacks will take: exact counts, and estimates of time and room.

    Example
    -------
    >>> print(Cost(rows=2880, prompts=90, conditions=32, tokens=86_400, seconds=840.0, bytes=12_300_000))
    2,880 rows = 90 prompts x 32 conditions, 86,400 tokens: about 14 minutes, 12.3 MB
    """

    rows: int
    """Rows to run: prompts times conditions, unless some are there already, or some conditions are asked of
    other prompts or several times."""
    prompts: int
    conditions: int
    """Modes and control conditions."""
    tokens: int
    """Tokens of these rows that go through the model, without those of answers."""
    seconds: float
    """At the pace of the rows that were run as a proof; at most so many where answers end sooner."""
    bytes: int
    """At most so many where layers' states fit half precision."""

    def __str__(self) -> str:
        whole = self.rows == self.prompts * self.conditions
        return (
            f"{counted(self.rows, 'row')} {'= {0} x {1}' if whole else 'of {0} under {1}'}, "
            f"{counted(self.tokens, 'token')}: "
            f"about {duration(self.seconds)}, {decimal(self.bytes)}"
        ).format(counted(self.prompts, "prompt"), counted(self.conditions, "condition"))

    def require_room(self, folder: Path) -> None:
        """MarginError where the disk that will hold `folder` has not so much room."""
        there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        free = shutil.disk_usage(there).free
        if self.bytes > free:
            raise MarginError(
                f"{folder}: the run takes about {decimal(self.bytes)} and the disk has {decimal(free)} free: "
                "keep fewer layers (--layers every:4), or choose another disk"
            )


@dataclass
class Pace:
    """How long forward passes took so far, and what went through in them."""

    work: float = 0.0
    """Tokens, and for each pass `BATCH_COST` more."""
    seconds: float = 0.0

    def of(self, work: float) -> float:
        """Seconds that so much work takes; 0 where nothing is known."""
        return work * self.seconds / self.work if self.work else 0.0


@contextmanager
def paced(model: nn.Module) -> Iterator[Pace]:
    """Take the time of a model's forward passes in this block, but for the first, which warms it up."""
    pace = Pace()
    begun: list[float] = []

    def begin(module: nn.Module, arguments: Any, named: dict[str, Any]) -> None:
        _finish()
        begun.append(time.perf_counter())

    def end(module: nn.Module, arguments: Any, named: dict[str, Any], output: Any) -> None:
        _finish()
        if len(begun) > 1:
            pace.seconds += time.perf_counter() - begun[-1]
            pace.work += named["input_ids"].numel() + BATCH_COST if "input_ids" in named else 0

    handles = [
        model.register_forward_pre_hook(begin, with_kwargs=True),
        model.register_forward_hook(end, with_kwargs=True),
    ]
    try:
        yield pace
    finally:
        for handle in handles:
            handle.remove()


def _finish() -> None:
    """Wait for what an accelerator has been told to do."""
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()


def cost_of(
    manifest: Manifest,
    options: CaptureOptions,
    batches: Sequence[Batch],
    lengths: Sequence[int],
    pace: Pace,
    ranks: int = 1,
    thought: int = 0,
) -> Cost:
    """What it costs to run these batches, of rows so many tokens long, on so many ranks.

    `manifest` knows the states' width; each row thinks first, so many tokens at most (`thought`).
    """
    counts, identity = manifest.counts, manifest.identity
    rows = [row for batch in batches for row in batch.rows]
    tokens = sum(lengths[row] - batch.prefix for batch in batches for row in batch.rows)
    positions, answer = options.positions, max(options.positions - 1, options.generate)
    work = tokens + len(rows) * (positions - 1 + thought) + BATCH_COST * len(batches)
    for said in filter(None, (answer, thought)):
        # The rows once more, then each token of the answers in a pass of the batch.
        whole = sum(lengths[row] for row in rows)
        work += whole + said * sum(BATCH_COST + len(batch.rows) for batch in batches)
    a_row = counts.width * (FLOAT * positions + HALF * len(identity.layers))
    a_row += options.top_k * (FLOAT + INTEGER) + (FLOAT * counts.vocabulary if options.save_logits else 0)
    return Cost(
        rows=len(rows),
        prompts=counts.prompts or 0,
        conditions=len(identity.conditions),
        tokens=tokens,
        seconds=pace.of(work) / ranks,
        bytes=a_row * len(rows),
    )


def duration(seconds: float) -> str:
    """Seconds in words that are no more exact than an estimate is."""
    for unit, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= 1.5 * unit:
            return f"{seconds / unit:.0f} {name}s"
    return f"{max(seconds, 1):.0f} second{'s' if seconds >= 1.5 else ''}"
