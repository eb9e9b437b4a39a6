"""Progress in a notebook: one cell output that is rewritten, with the browser's own bar and no widgets."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape

EVERY = 0.2
"""Seconds between two rewritings: each is a message to the browser."""


@dataclass
class Bars:
    """How far each of some steps is, over `total` rows."""

    steps: tuple[str, ...]
    total: int
    before: int
    """Rows that were there at the start."""
    started: float = field(default_factory=time.monotonic)
    rows: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.rows = [self.before] * len(self.steps)

    def __repr__(self) -> str:
        return "\n".join(f"{step}: {self._words(i)}" for i, step in enumerate(self.steps))

    def _repr_html_(self) -> str:
        return "".join(
            f'<div>{escape(step)} <progress value="{self.rows[i]}" max="{self.total}"></progress> '
            f"{self._words(i)}</div>"
            for i, step in enumerate(self.steps)
        )

    def _words(self, step: int) -> str:
        """Rows done, rows a second, and the time that is left."""
        rows, taken = self.rows[step], time.monotonic() - self.started
        words = f"{rows:,} of {self.total:,} rows"
        if rows == self.before or not taken:
            return words
        rate = (rows - self.before) / taken
        left = round((self.total - rows) / rate)
        return f"{words}, {rate:.1f} rows/s" + (f", {left // 60}:{left % 60:02d} left" if left else "")


@contextmanager
def notebook_bars(total: int, done: int, steps: tuple[str, ...]) -> Iterator[Callable[[int, int], None]]:
    """Bars below the cell that runs. Yields what is told of rows: how many, and by which step."""
    from IPython.display import display  # here, for only a notebook has it

    bars = Bars(steps, total, done)
    handle = display(bars, display_id=True)
    written = time.monotonic()

    def advance(rows: int, step: int) -> None:
        nonlocal written
        bars.rows[step] += rows
        if time.monotonic() - written >= EVERY:
            handle.update(bars)
            written = time.monotonic()

    try:
        yield advance
    finally:
        handle.update(bars)
