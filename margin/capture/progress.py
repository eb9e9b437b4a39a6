"""Progress on stderr, or below the cell of a notebook: rows done, rows a second, time left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Task as RichTask
from rich.text import Text

from margin.capture.notebook import notebook_bars
from margin.console import PlainConsole
from margin.text import shown


class Advance(Protocol):
    """What is told of rows that are done."""

    def __call__(self, rows: int, step: int = 0) -> None:
        """So many more rows have taken a step."""


class RateColumn(ProgressColumn):
    """Rows a second."""

    def render(self, task: RichTask) -> Text:
        """The rate, once there is one."""
        return Text("" if task.speed is None else f"{task.speed:.1f} rows/s")


@contextmanager
def progress(total: int, done: int, quiet: bool, *steps: str) -> Iterator[Advance]:
    """A bar over `total` rows, of which `done` are there already, for each of the steps that a row takes.

    Yields what is told of rows as they come: how many, and by which step, the first unless said otherwise.
    """
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(),
    )
    console = PlainConsole(stderr=True)
    if console.is_jupyter and not quiet:
        with notebook_bars(total, done, tuple(map(shown, steps))) as moved:
            yield lambda rows, step=0: moved(rows, step)
        return
    with Progress(*columns, console=console, disable=quiet) as bar:
        tasks = [bar.add_task(shown(step), total=total, completed=done) for step in steps]

        def advance(rows: int, step: int = 0) -> None:
            bar.update(tasks[step], advance=rows)

        yield advance
