"""The Report: what a study found, section by section, and all its renderings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd

from margin.analysis.behaviour.findings import Behaviour as BehaviourFindings
from margin.analysis.layers import LayerCurve
from margin.analysis.positions import PositionCurve
from margin.analysis.robustness.findings import Robustness as RobustnessFindings
from margin.arguments import require_path
from margin.report.points import PointReport
from margin.report.record import FORMAT
from margin.run.run import Run
from margin.study.canvas import Canvas
from margin.study.notation import model_name
from margin.study.probe_file import ProbeRecord
from margin.study.section import Section
from margin.study.sections import FIGURES, SECTIONS
from margin.study.sections.behaviour import Behaviour
from margin.study.sections.layers import Layers
from margin.study.sections.positions import Positions
from margin.study.sections.probes import Probes
from margin.study.sections.provenance import Provenance
from margin.study.sections.robustness import Robustness
from margin.study.sections.spaces import Spaces
from margin.study.sections.verdict import Verdict
from margin.study.study import Study
from margin.text import brief

if TYPE_CHECKING:
    from matplotlib.figure import Figure


S = TypeVar("S", bound=Section)
T = TypeVar("T")


class Report(PointReport):
    """Margins of one run, and what belongs to them. Sections are computed when they are first asked for.

    Example
    -------
    >>> import margin
    >>> report = margin.analyse("demo-run")
    >>> print(report.sam["cosine"].leave_prompt_out)
    0.365 [0.340, 0.390]
    >>> [path.name for path in report.save("demo-report")]
    ['report.json', 'report.md', 'report.html']
    """

    format = FORMAT
    study: Study

    def __init__(self, study: Study, *, over_prompts_only: bool = False) -> None:
        super().__init__(study)
        self.over_prompts_only = over_prompts_only
        """Whether nothing about a single prompt is told."""

    @property
    def run(self) -> Run:
        """The run it was made from."""
        return self.study.run

    @property
    def title(self) -> str:
        """The model that was measured, and its adapter."""
        identity = self.run.manifest.identity
        return model_name(identity.model, identity.adapter)

    @property
    def verdict(self) -> Verdict:
        """What was found, in a few sentences with a mark each."""
        return self._of(Verdict, lambda found: found)

    def section(self, kind: type[S]) -> S | None:
        """One section, by its class in `margin.study.sections`; None where the run holds nothing for it."""
        found = self.study.section(kind)
        return found.shareable() if found is not None and self.over_prompts_only else found

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
        return super().to_dict()

    def __repr__(self) -> str:
        margin = self.headline.leave_prompt_out
        return f"Report({brief(self.run.path.name)}: {self.headline.distance} margin {margin})"

    @property
    def spaces(self) -> pd.DataFrame:
        """Margins of every space under every distance that makes sense in it."""
        return self._of(Spaces, lambda found: found.lines)

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
    def provenance(self) -> dict[str, Any]:
        """Where the numbers come from: checkpoint, digests, modes, prompts, versions, device."""
        return self._of(Provenance, lambda found: found.found)

    @property
    def noise_floor(self) -> dict[str, Any] | None:
        """Spread of the margin over numerically equivalent ways to compute it; None where not measured."""
        return self._of(Provenance, lambda found: found.noise_floor)

    def _sections(self) -> Iterator[tuple[type[Section], Section | None]]:
        """Every kind of section in order, and what is found of it."""
        return ((kind, self.section(kind)) for kind in SECTIONS)

    def _draws(self) -> Mapping[str, Callable[[Canvas], Figure]]:
        """What draws each figure."""
        return {name: partial(draw, self.study) for name, draw in FIGURES.items()}

    def _of(self, kind: type[S], read: Callable[[S], T]) -> T:
        """A part of a section that every run has."""
        found = self.section(kind)
        assert found is not None, kind
        return read(found)

    def _if_any(self, kind: type[S], read: Callable[[S], T]) -> T | None:
        """A part of a section that a run may lack."""
        found = self.section(kind)
        return None if found is None else read(found)
