"""What is found of points alone, section by section: the report of arrays, and the base of a run's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import pandas as pd

from margin.analysis.margins import Margins
from margin.analysis.metrics import Distance
from margin.analysis.permutation import PermutationNull
from margin.analysis.prompt_margins import Spread
from margin.analysis.slices import SliceMargins
from margin.arguments import require_count
from margin.errors import MarginError
from margin.study.canvas import Canvas
from margin.study.section import Fact, PointSection, Section
from margin.study.sections import POINT_FIGURES, POINT_SECTIONS
from margin.study.sections.margins import MarginsSection
from margin.study.sections.null import Null
from margin.study.sections.prompts import Prompts
from margin.study.sections.separation import Separation
from margin.study.sections.slices import Slices
from margin.study.sections.verdict import Verdict
from margin.study.study import PointStudy
from margin.study.table import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from margin.figures.style import StyleName

P = TypeVar("P", bound=PointSection)
T = TypeVar("T")


class PointReport:
    """Margins of points, and what belongs to them. Sections are computed when they are first asked for.

    Example
    -------
    >>> import margin
    >>> import numpy as np
    >>> X, prompts = np.random.default_rng(0).normal(size=(80, 8)), np.repeat(range(40), 2)
    >>> margin.analyse_arrays(X, ["neg", "pos"] * 40, prompts)
    PointReport(40 prompts, 2 modes: cosine margin 0.012 [-0.029, 0.053])
    """

    format: ClassVar[str] = "margin-points/1"
    """Format of the record."""

    def __init__(self, study: PointStudy) -> None:
        self.study = study

    @property
    def title(self) -> str:
        """What was measured."""
        design = self.study.design
        return f"{design.n_points:,} points"

    @property
    def verdict(self) -> Verdict | None:
        """What was found, in a few sentences with a mark each; None of points alone."""
        return None

    def section(self, kind: type[P]) -> P | None:
        """One section, by its class in `margin.study.sections`; None where nothing is known for it."""
        return self.study.section(kind)

    def __iter__(self) -> Iterator[Section]:
        """The sections that something is known for, in order."""
        return (found for _, found in self._sections() if found is not None)

    def tables(self) -> list[Table]:
        """Every table that has rows: what Markdown, the page, the terminal and LaTeX are made of."""
        return [table for section in self for table in section.tables() if table.rows]

    def facts(self) -> list[Fact]:
        """What a reader wants to know first."""
        found = [fact for section in self for fact in section.facts()]
        return sorted(found, key=lambda fact: (not fact.first, not fact.alarm))

    def figure(self, name: str, style: StyleName = "paper", *, width: float | None = None) -> Figure:
        """One figure by its name, for example "pairs", so many inches wide or else as the style has it.

        Raises
        ------
        MarginError : an unknown name or style, a width that is not from 2 to 40 inches, points that hold too
            little for this figure; says what is missing.
        """
        from margin import figures

        draws = self._draws()
        if name not in draws:
            raise MarginError(f"figure {name!r} is unknown: choose from {', '.join(draws)}")
        canvas = Canvas(style, width)
        with figures.style(style):
            fig = draws[name](canvas)
            figures.fit(fig)
        return fig

    def to_dict(self) -> dict[str, Any]:
        """Plain record of every section's numbers."""
        record: dict[str, Any] = {"format": self.format}
        for kind, found in self._sections():
            keys = kind.keys() if found is None else found.record()
            record |= keys.model_dump()
        return record

    def to_frame(self) -> pd.DataFrame:
        """Tidy table of every margin: quantity, name, estimate and its interval, space, distance."""
        return self._of(MarginsSection, MarginsSection.to_frame)

    def to_frames(self) -> dict[str, pd.DataFrame]:
        """The numbers of every section as a tidy table each, by the section's name."""
        frames = {section.name(): section.to_frame() for section in self}
        return {name: frame for name, frame in frames.items() if len(frame)}

    def __repr__(self) -> str:
        margin, design = self.headline.leave_prompt_out, self.study.design
        of = f"{design.n_prompts} prompts, {design.n_modes} modes"
        return f"PointReport({of}: {self.headline.distance} margin {margin})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from margin.report.notebook import to_cell

        return to_cell(self)

    # What each section found, by the names a reader of the format knows.

    @property
    def sam(self) -> dict[Distance, Margins]:
        """Margins by distance: cosine, euclidean, sqeuclidean in `sam_space`; of a run hellinger2 of
        distributions too."""
        return self._of(MarginsSection, lambda found: found.sam)

    @property
    def sam_space(self) -> str:
        """Space of the cosine and Euclidean margins."""
        return self.study.space.name

    @property
    def headline(self) -> Margins:
        """Margins under the headline distance."""
        return self.study.headline

    @property
    def weakest_pair(self) -> tuple[str, str]:
        """The two modes that stand closest."""
        return self._of(MarginsSection, lambda found: found.weakest_pair)

    @property
    def null(self) -> PermutationNull:
        """Leave-prompt-out margin under permuted modes, for the headline distance in `sam_space`."""
        return self._of(Null, lambda found: found.found)

    @property
    def separation(self) -> pd.DataFrame:
        """Separation measures over all modes and by pair: measure, modes, estimate, interval, p-value."""
        return self._of(Separation, lambda found: found.lines)

    @property
    def slices(self) -> tuple[SliceMargins, ...]:
        """Margins by slice, one entry a slice column."""
        return self._of(Slices, lambda found: found.columns)

    @property
    def unsliced(self) -> Mapping[str, str]:
        """Columns of the prompts that are no slices, and why."""
        return self._of(Slices, lambda found: found.unsliced)

    @property
    def prompts(self) -> pd.DataFrame:
        """One line a prompt, weakest first: its margins, stability and own columns."""
        return self._of(Prompts, lambda found: found.lines)

    @property
    def spreads(self) -> tuple[Spread, ...]:
        """How each per-prompt margin is spread over prompts, and the share below the neutral value."""
        return self._of(Prompts, lambda found: found.spreads)

    def worst_prompts(self, count: int = 10) -> pd.DataFrame:
        """The `count` prompts with the lowest margin; all where there are fewer. MarginError for none."""
        require_count(count, "count", 1)
        return self.prompts.head(count)

    def _sections(self) -> Iterator[tuple[type[Section], Section | None]]:
        """Every kind of section in order, and what is found of it."""
        return ((kind, self.section(kind)) for kind in POINT_SECTIONS)

    def _draws(self) -> Mapping[str, Callable[[Canvas], Figure]]:
        """What draws each figure."""
        return {name: partial(draw, self.study) for name, draw in POINT_FIGURES.items()}

    def _of(self, kind: type[P], read: Callable[[P], T]) -> T:
        """A part of a section that all points have."""
        found = self.section(kind)
        assert found is not None, kind
        return read(found)
