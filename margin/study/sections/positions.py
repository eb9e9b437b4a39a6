"""How does the margin go along the response?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from margin import figures
from margin.analysis.positions import PositionCurve, position_curve
from margin.analysis.space import Coordinates, Space
from margin.errors import MarginError
from margin.run.run import Run
from margin.stats.design import Design
from margin.study.canvas import Canvas
from margin.study.notation import with_interval
from margin.study.record import EstimateRecord, Record, records
from margin.study.section import Fact, Section
from margin.study.sections.variants import VARIANTS, by_variant
from margin.study.spaces import design_of
from margin.study.study import HEADLINE, Study
from margin.study.table import Table, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FEWEST = 2
"""Prompts that must reach a position for it to have a margin."""


class PositionMargin(EstimateRecord):
    """Margin at one response position."""

    position: int
    variant: str
    space: str
    distance: str


class PositionsKeys(Record):
    positions: list[PositionMargin] = []
    """Margin by response position; empty where only the first was captured."""


def draw(study: Study, canvas: Canvas) -> Figure:
    """Margin by position."""
    found = study.section(Positions)
    if found is None:
        raise MarginError("no curve along the response can be drawn: collect the run with --positions")
    fig = canvas.figure("single")
    figures.position_curve(found.curve.to_frame(), fig.add_subplot(), series="variant")
    return fig


@dataclass(frozen=True, eq=False)
class Positions(Section):
    """Margin at the first positions of the response."""

    keys = PositionsKeys
    figures = {"positions": draw}
    curve: PositionCurve

    @classmethod
    def of(cls, study: Study) -> Positions | None:
        """None where one position was captured."""
        if study.run.positions == 1:
            return None
        rng, level = study.settings.rng("positions"), study.settings.level
        return cls(position_curve(position_spaces(study.run, study.settings.cluster), rng, HEADLINE, level))

    def record(self) -> PositionsKeys:
        """One line a position and variant."""
        return PositionsKeys(positions=records(PositionMargin, self.curve.to_frame()))

    def tables(self) -> Iterator[Table]:
        """One line a position."""
        frame = by_variant(self.curve.to_frame(), ["position", "n_prompts"])
        frame = frame.rename(columns={"n_prompts": "prompts"})
        note = (
            f"{_sentence(self.curve)} Positions are of the model's own greedy answer; later ones are of the "
            f"prompts whose answers last so long. Bands hold for all positions at once."
        )
        yield table("positions", "Along the response", note, frame, drawn=tuple(VARIANTS.values()))

    def facts(self) -> Iterator[Fact]:
        """From where to where the margin goes."""
        yield Fact("along the response", "", sentence=_sentence(self.curve), card=False)


def _sentence(found: PositionCurve) -> str:
    first, last = found.leave_prompt_out[0], found.leave_prompt_out[-1]
    return (
        f"Along the response the margin goes from {with_interval(first.estimate, first.low, first.high)} at "
        f"position {found.positions[0]} to {with_interval(last.estimate, last.low, last.high)} at position "
        f"{found.positions[-1]} ({last.n_prompts} of {first.n_prompts} prompts reach it)."
    )


def position_spaces(run: Run, cluster: str | None = None) -> Iterable[tuple[int, Space, Design]]:
    """The points of each response position that enough prompts reach, and their design.

    In the space of the logits, or of the final state where the head is no affine map. A prompt reaches a
    position where its answers under all modes do: else modes that answer at length would be told from those
    that do not by which prompts are left.
    """
    of_modes = np.flatnonzero(run.rows["kind"] == "mode")
    design, reached = design_of(run, of_modes), run.n_positions()[of_modes]
    shortest = np.full(design.n_prompts, run.positions)
    np.minimum.at(shortest, design.prompt, reached)
    for position in range(1, run.positions + 1):
        there = shortest >= position
        if there.sum() < FEWEST:
            return
        rows = of_modes[there[design.prompt]]
        states = run.position_states(position)[rows]
        points = run.logit_points(states)
        space = Coordinates(states, "state") if points is None else Coordinates(points, "logits")
        yield position, space, design_of(run, rows, cluster)
