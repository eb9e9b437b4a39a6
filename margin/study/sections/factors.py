"""How far do behaviours stand apart within a policy, and policies within a behaviour?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from margin.analysis.factors import FACTORS, FactorMargin, factor_margins
from margin.study.notation import interval, number
from margin.study.record import EstimateRecord, Record, Text
from margin.study.section import Fact, PointSection
from margin.study.study import HEADLINE, PointStudy
from margin.study.table import Interval, Table, table


class FactorRecord(EstimateRecord):
    """The margin of one factor's values, with the other factor held."""

    factor: Literal["behaviour", "policy"]
    """What differs between the modes compared."""
    within: Text
    """Value of the other factor; null for the mean over all of them."""
    variant: Literal["leave_prompt_out", "prompt_centred"]
    modes: list[str]
    """The modes compared; of a mean all of them."""


class FactorsKeys(Record):
    factors: list[FactorRecord] = []
    """Margins of behaviours within a policy, and of policies within a behaviour; empty where no mode is named
    BEHAVIOUR@POLICY."""


@dataclass(frozen=True, eq=False)
class Factors(PointSection):
    """Margins by factor."""

    keys = FactorsKeys
    found: tuple[FactorMargin, ...]

    @classmethod
    def of(cls, study: PointStudy) -> Factors | None:
        """None where modes are not named by two factors, or none has two values with the other held."""
        found = tuple(factor_margins(study.space, study.design, HEADLINE, study.settings.level))
        return cls(found) if found else None

    def record(self) -> FactorsKeys:
        """A line a margin."""
        return FactorsKeys(
            factors=[
                FactorRecord.from_estimate(
                    estimate,
                    factor=one.factor,
                    within=one.within,
                    variant=variant,
                    modes=list(one.modes),
                )
                for one in self.found
                for variant, estimate in one.estimates.items()
            ]
        )

    def tables(self) -> Iterator[Table]:
        """One line a factor and value of the other."""
        lines = [
            {
                "apart": FACTORS[one.factor],
                "within": _within(one),
                "modes": ", ".join(one.modes),
                "margin": _cell(one, "leave_prompt_out"),
                "prompt-centred": _cell(one, "prompt_centred"),
            }
            for one in self.found
        ]
        note = (
            "Modes named BEHAVIOUR@POLICY are compared with those that share the one and differ in the "
            "other. The margin over all modes asks that each be nearer to itself than to any other, in "
            "whichever factor they differ; these say which of the two a model tells apart."
        )
        yield table("factors", "Behaviours and policies", note, pd.DataFrame(lines), drawn=["margin"])

    def facts(self) -> Iterator[Fact]:
        """The mean margin of each factor."""
        for one in self.found:
            if one.within is None:
                found = one.estimates["leave_prompt_out"]
                bounds = interval(found.low, found.high)
                name, value = FACTORS[one.factor], number(found.estimate)
                said = f"{name} stand {value} {bounds} apart within {_within(one)}"
                yield Fact(name, value, bounds, said, card=False)


def _within(one: FactorMargin) -> str:
    other = "policy" if one.factor == "behaviour" else "behaviour"
    return f"one {other}, on average" if one.within is None else (one.within or f"no {other} named")


def _cell(one: FactorMargin, variant: str) -> Interval:
    found = one.estimates[variant]
    return Interval(found.estimate, found.low, found.high)
