"""A section: one question asked of a run, what is found, and how it is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import pandas as pd

from margin.short import Short
from margin.study.notation import flat
from margin.study.record import Record
from margin.study.table import Table

if TYPE_CHECKING:
    from typing import Self

    from matplotlib.figure import Figure

    from margin.study.canvas import Canvas
    from margin.study.study import PointStudy, Study


@dataclass(frozen=True)
class Fact(Short):
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


PointDraw = Callable[["PointStudy", "Canvas"], "Figure"]
"""The same of points alone."""


class Section(Short):
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

    @classmethod
    def name(cls) -> str:
        """What the section is called: as its file is."""
        return cls.__module__.rpartition(".")[2]

    def to_frame(self) -> pd.DataFrame:
        """The section's part of report.json as one table: a line a record, `key` the part it is of."""
        parts = self.record().model_dump().items()
        lines = [
            {"key": key, **flat(one)}
            for key, part in parts
            for one in (part if isinstance(part, list) else [part])
            if isinstance(one, dict)
        ]
        return pd.DataFrame(lines)

    def tables(self) -> Iterator[Table]:
        """The section's tables; those without rows are not shown."""
        return iter(())

    def facts(self) -> Iterator[Fact]:
        """What of it belongs at the top."""
        return iter(())

    def shareable(self) -> Self:
        """The same without anything about a single prompt."""
        return self


class PointSection(Section):
    """A section that asks for points alone, so that it can be had of arrays as well as of a run."""

    figures: ClassVar[Mapping[str, PointDraw]] = {}

    @classmethod
    def of(cls, study: PointStudy) -> Self | None:
        """What is found of points; None where they hold nothing for this section."""
        raise NotImplementedError
