"""A section: one question asked of a run, what is found, and how it is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from margin.study.record import Record
from margin.study.table import Table

if TYPE_CHECKING:
    from typing import Self

    from matplotlib.figure import Figure

    from margin.study.canvas import Canvas
    from margin.study.study import Study


@dataclass(frozen=True)
class Fact:
    """One thing a reader wants to know first."""

    name: str
    value: str
    note: str = ""
    sentence: str = ""
    """The same as a sentence; made of the others unless given."""
    card: bool = True
    """Whether it is one of the few things that a page shows large."""
    alarm: bool = False
    """Whether it is nothing that one would wish."""
    first: bool = False
    """Whether it stands before the facts of other sections."""

    def __str__(self) -> str:
        return self.sentence or f"{self.name}: {self.value}" + (f" ({self.note})" if self.note else "")


Draw = Callable[["Study", "Canvas"], "Figure"]
"""Draws a figure of a study; MarginError where the run holds too little, saying what is missing."""


class Section:
    """What one file of `sections` adds to a report; a subclass is frozen and holds what was found.

    Tables are what every rendering is made of: Markdown, the page, the terminal and LaTeX. Text in tables and
    facts may come from outside; renderings escape it.
    """

    keys: ClassVar[type[Record]] = Record
    """Keys of report.json that are this section's; the defaults stand where the run holds nothing for it."""
    figures: ClassVar[Mapping[str, Draw]] = {}
    """Figures by name."""

    @classmethod
    def of(cls, study: Study) -> Self | None:
        """What is found in a run; None where it holds nothing for this section."""
        raise NotImplementedError

    def record(self) -> Record:
        """The section's part of report.json."""
        return self.keys()

    def tables(self) -> Iterator[Table]:
        """The section's tables; those without rows are not shown."""
        return iter(())

    def facts(self) -> Iterator[Fact]:
        """What of it belongs at the top."""
        return iter(())

    def shareable(self) -> Self:
        """The same without anything about a single prompt."""
        return self
