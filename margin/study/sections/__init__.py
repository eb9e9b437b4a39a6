"""The sections of a report, in its order. A new one is one more file and a line here."""

from margin.study.section import Draw, PointDraw, PointSection, Section
from margin.study.sections.audit import AuditSection
from margin.study.sections.behaviour import Behaviour
from margin.study.sections.decoys import Decoys
from margin.study.sections.dependence import DependenceSection
from margin.study.sections.extremes import Extremes
from margin.study.sections.factors import Factors
from margin.study.sections.layers import Layers
from margin.study.sections.margins import MarginsSection
from margin.study.sections.moment import MomentSection
from margin.study.sections.null import Null
from margin.study.sections.outcomes import Outcomes
from margin.study.sections.overview import Overview
from margin.study.sections.points import Points
from margin.study.sections.positions import Positions
from margin.study.sections.probes import Probes
from margin.study.sections.prompts import Prompts
from margin.study.sections.provenance import Provenance
from margin.study.sections.robustness import Robustness
from margin.study.sections.secrecy import Secrecy
from margin.study.sections.separation import Separation
from margin.study.sections.slices import Slices
from margin.study.sections.spaces import Spaces
from margin.study.sections.strata import Strata
from margin.study.sections.trace import TraceSection
from margin.study.sections.verdict import Verdict

SECTIONS: tuple[type[Section], ...] = (
    Verdict,
    MomentSection,
    Overview,
    Points,
    MarginsSection,
    Factors,
    Decoys,
    Null,
    Spaces,
    Slices,
    Strata,
    Layers,
    Positions,
    Probes,
    TraceSection,
    Outcomes,
    Robustness,
    Secrecy,
    Behaviour,
    AuditSection,
    Separation,
    Prompts,
    DependenceSection,
    Extremes,
    Provenance,
)
FIGURES: dict[str, Draw] = {name: draw for section in SECTIONS for name, draw in section.figures.items()}
"""Every figure by name."""
POINT_SECTIONS: tuple[type[PointSection], ...] = tuple(
    section for section in SECTIONS if issubclass(section, PointSection)
)
"""Those that ask for points alone, in the same order."""
POINT_FIGURES: dict[str, PointDraw] = {
    name: draw for section in POINT_SECTIONS for name, draw in section.figures.items()
}
"""Their figures by name."""
