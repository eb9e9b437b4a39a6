"""Progress on stderr: rows done, rows a second, time left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

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

from margin.console import PlainConsole


class RateColumn(ProgressColumn):
    """Rows a second."""

    def render(self, task: RichTask) -> Text:
        """The rate, once there is one."""
        return Text("" if task.speed is None else f"{task.speed:.1f} rows/s")


@contextmanager
def progress(total: int, done: int, quiet: bool, what: str = "collecting") -> Iterator[Callable[[int], None]]:
    """A bar over `total` rows of which `done` are there already; yields what is told of rows as they come."""
    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=PlainConsole(stderr=True), disable=quiet) as bar:
        task = bar.add_task("", total=total, completed=done)
        yield lambda rows: bar.update(task, advance=rows)
