"""What would the margin be if the modes made no difference?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from margin.analysis.permutation import PermutationNull, permutation_null
from margin.study.notation import number
from margin.study.record import Record
from margin.study.section import Fact, PointSection
from margin.study.study import HEADLINE, PointStudy


class NullRecord(Record):
    """The headline margin under modes permuted within prompts."""

    mean: float
    p_value: Annotated[float, Field(gt=0, le=1)]
    permutations: Annotated[int, Field(ge=1)]
    distance: str
    variant: str


class NullKeys(Record):
    null: NullRecord


@dataclass(frozen=True, eq=False)
class Null(PointSection):
    """Leave-prompt-out margin under permuted modes, for the headline distance and space."""

    keys = NullKeys
    found: PermutationNull

    @classmethod
    def of(cls, study: PointStudy) -> Null:
        """Relabel as often as the settings say."""
        settings = study.settings
        return cls(
            permutation_null(study.distances, study.design, settings.rng("null"), settings.permutations)
        )

    def record(self) -> NullKeys:
        """Mean and p-value."""
        found = self.found
        return NullKeys(
            null=NullRecord(
                mean=found.mean,
                p_value=found.p_value,
                permutations=found.permutations,
                distance=HEADLINE,
                variant="leave_prompt_out",
            )
        )

    def facts(self) -> Iterator[Fact]:
        """The zero that the margin is to be read against."""
        found = self.found
        note = f"p = {found.p_value:.3g}, {found.permutations} permutations"
        yield Fact("if the modes made no difference", number(found.mean), note)
