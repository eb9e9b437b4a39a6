"""The Report: what a study found, section by section, and all its renderings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd

from margin.analysis.behaviour.findings import Behaviour as BehaviourFindings
from margin.analysis.layers import LayerCurve
from margin.analysis.margins import Margins
from margin.analysis.metrics import Distance
from margin.analysis.permutation import PermutationNull
from margin.analysis.positions import PositionCurve
from margin.analysis.prompt_margins import Spread
from margin.analysis.robustness.findings import Robustness as RobustnessFindings
from margin.analysis.slices import SliceMargins
from margin.arguments import require_path
from margin.report.record import FORMAT
from margin.run.run import Run
from margin.study.canvas import Canvas
from margin.study.picture import picture
from margin.study.probe_file import ProbeRecord
from margin.study.section import Fact, Section
from margin.study.sections import SECTIONS
from margin.study.sections.behaviour import Behaviour
from margin.study.sections.layers import Layers
from margin.study.sections.margins import MarginsSection
from margin.study.sections.null import Null
from margin.study.sections.positions import Positions
from margin.study.sections.probes import Probes
from margin.study.sections.prompts import Prompts
from margin.study.sections.provenance import Provenance
from margin.study.sections.robustness import Robustness
from margin.study.sections.separation import Separation
from margin.study.sections.slices import Slices
from margin.study.sections.spaces import Spaces
from margin.study.sections.verdict import Verdict
from margin.study.study import SPACE, Study
from margin.study.table import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from margin.figures.style import StyleName

S = TypeVar("S", bound=Section)
T = TypeVar("T")


class Report:
    """Margins of one run, and what belongs to them. Sections are computed when first asked for.

    Example
    -------
    >>> import margin
    >>> report = margin.analyse("demo-run")
    >>> print(report.sam["cosine"].leave_prompt_out)
    0.205 [0.176, 0.233]
    >>> [path.name for path in report.save("demo-report")]
    ['report.json', 'report.md', 'report.html']
    """

    def __init__(self, study: Study, *, over_prompts_only: bool = False) -> None:
        self.study = study
        self.over_prompts_only = over_prompts_only
        """Whether nothing about a single prompt is told."""

    @property
    def run(self) -> Run:
        """The run it was made from."""
        return self.study.run

    def section(self, kind: type[S]) -> S | None:
        """One section, by its class in `margin.study.sections`; None where the run holds nothing for it."""
        found = self.study.section(kind)
        return found.shareable() if found is not None and self.over_prompts_only else found

    def __iter__(self) -> Iterator[Section]:
        """The sections that the run holds something for, in order."""
        return (found for kind in SECTIONS if (found := self.section(kind)) is not None)

    def tables(self) -> list[Table]:
        """Every table that has rows: what Markdown, the page, the terminal and LaTeX are made of."""
        return [table for section in self for table in section.tables() if table.rows]

    def facts(self) -> list[Fact]:
        """What a reader wants to know first."""
        found = [fact for section in self for fact in section.facts()]
        return sorted(found, key=lambda fact: not fact.first)

    def figure(self, name: str, style: StyleName = "paper", *, width: float | None = None) -> Figure:
        """One figure by its name, for example "layers", so many inches wide or else as the style has it.

        Raises
        ------
        MarginError : an unknown name, or a run that holds too little for this figure; says what is missing.
        """
        return picture(self.study, name, Canvas(style, width)).figure

    def save(self, out: str | Path, *, explore: bool = False) -> list[Path]:
        """Write report.json, report.md and report.html into a folder; the paths written.

        Raises
        ------
        UnwritableError : the folder cannot be made, or a file of it not written.
        """
        from margin.report.write import write_report

        require_path(out, "out")
        return write_report(self, Path(out), explore=explore)

    def to_dict(self) -> dict[str, Any]:
        """Plain record in the format margin-report/1; `margin.report.write.schema` has its JSON Schema."""
        record: dict[str, Any] = {"format": FORMAT}
        for kind in SECTIONS:
            found = self.section(kind)
            keys = kind.keys() if found is None else found.record()
            record |= keys.model_dump()
        return record

    def to_frame(self) -> pd.DataFrame:
        """Tidy table of every margin: quantity, name, estimate and its interval, space, distance."""
        return pd.concat([margins.to_frame() for margins in self.sam.values()], ignore_index=True)

    def __repr__(self) -> str:
        margin = self.headline.leave_prompt_out
        return f"Report({self.run.path.name}: {self.headline.distance} margin {margin})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from margin.report.notebook import to_cell

        return to_cell(self)

    @property
    def verdict(self) -> Verdict:
        """What was found, in a few sentences with a mark each."""
        return self._of(Verdict, lambda found: found)

    @property
    def sam(self) -> dict[Distance, Margins]:
        """Margins by distance: cosine, euclidean, sqeuclidean in `sam_space`; hellinger2 of distributions."""
        return self._of(MarginsSection, lambda found: found.sam)

    @property
    def sam_space(self) -> str:
        """Space of the cosine and Euclidean margins."""
        return SPACE

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
    def spaces(self) -> pd.DataFrame:
        """Margins of every space under every distance that makes sense in it."""
        return self._of(Spaces, lambda found: found.lines)

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
    def layers(self) -> LayerCurve | None:
        """Margins by layer; None where fewer than two layers were captured."""
        return self._if_any(Layers, lambda found: found.curve)

    @property
    def positions(self) -> PositionCurve | None:
        """Margins along the response; None where one position was captured."""
        return self._if_any(Positions, lambda found: found.curve)

    @property
    def robustness(self) -> RobustnessFindings:
        """Where control conditions land, what leaks, and what attacks leave of the margin; empty without."""
        return self._of(Robustness, lambda found: found.found)

    @property
    def behaviour(self) -> BehaviourFindings | None:
        """What a judge found in the run's answers; None where there is neither a judgement nor an answer."""
        return self._if_any(Behaviour, lambda found: found.found)

    @property
    def probes(self) -> ProbeRecord | None:
        """What probe.json beside the run holds; None where it was not probed."""
        return self._if_any(Probes, lambda found: found.found)

    @property
    def prompts(self) -> pd.DataFrame:
        """One line a prompt, weakest first: its margins, stability and own columns."""
        return self._of(Prompts, lambda found: found.lines)

    @property
    def spreads(self) -> tuple[Spread, ...]:
        """How each per-prompt margin is spread over prompts, and the share below the neutral value."""
        return self._of(Prompts, lambda found: found.spreads)

    def worst_prompts(self, count: int = 10) -> pd.DataFrame:
        """The `count` prompts with the lowest margin."""
        return self.prompts.head(count)

    @property
    def provenance(self) -> dict[str, Any]:
        """Where the numbers come from: checkpoint, digests, modes, prompts, versions, device."""
        return self._of(Provenance, lambda found: found.found)

    @property
    def noise_floor(self) -> dict[str, Any] | None:
        """Spread of the margin over numerically equivalent ways to compute it; None where not measured."""
        return self._of(Provenance, lambda found: found.noise_floor)

    def _of(self, kind: type[S], read: Callable[[S], T]) -> T:
        """A part of a section that every run has."""
        found = self.section(kind)
        assert found is not None, kind
        return read(found)

    def _if_any(self, kind: type[S], read: Callable[[S], T]) -> T | None:
        """A part of a section that a run may lack."""
        found = self.section(kind)
        return None if found is None else read(found)
