"""What was asked for, and what was answered?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import Field

from margin.analysis.behaviour.findings import MODES, Observation, Quantity
from margin.analysis.behaviour.findings import Behaviour as Findings
from margin.study.behaviour import behaviour, judgements_of
from margin.study.notation import interval, number
from margin.study.record import Count, EstimateRecord, Record, Text
from margin.study.section import Fact, Section
from margin.study.study import Study
from margin.study.table import Interval, Table, table

NAMES = {
    "agreement": "geometry and judge agree",
    "kappa": "Cohen's kappa",
    "constructive_safety": "constructive safety",
    "cosa": "CoSA",
}
SIGNED = ("kappa", "cosa")
"""What may be below 0."""
BRIEF = 20
"""Disagreements shown where there is no room for all; report.json lists every one."""


class ObservationRecord(EstimateRecord):
    """One number on the answers under one condition."""

    judge: str
    quantity: Quantity
    condition: str
    kind: str
    mode: Text
    """Mode the system message asks for."""
    label: Text
    count: Count
    """Prompts any of whose draws got the label."""
    answers: Count
    draws: Annotated[int, Field(ge=1)]
    indicative: bool


class DisagreementRecord(Record):
    """A row on which geometry and judge differ."""

    judge: str
    quantity: Literal["disagreement"]
    row: Annotated[int, Field(ge=0)]
    prompt_id: str
    condition: str
    draw: Annotated[int, Field(ge=0)]
    nearest: str
    """Mode the geometry puts the row in."""
    outside: bool
    expected: str
    """Label expected of that mode."""
    label: str
    prompt: str | None = None
    answer: str | None = None


class BehaviourKeys(Record):
    behaviour: list[ObservationRecord | DisagreementRecord] = []
    """What a judge found in the answers, and where it disagrees with the geometry."""


@dataclass(frozen=True, eq=False)
class Behaviour(Section):
    """What a judge found in the run's answers."""

    keys = BehaviourKeys
    found: Findings

    @classmethod
    def of(cls, study: Study) -> Behaviour | None:
        """None where there is neither a judgement nor an answer."""
        judged = judgements_of(study.run)
        if judged is None:
            return None
        settings = study.settings
        return cls(
            behaviour(
                study.run,
                judged,
                level=settings.level,
                text=settings.text,
                placement=study.placement,
                cluster=settings.cluster,
            )
        )

    def record(self) -> BehaviourKeys:
        """Observations, then disagreements."""
        return BehaviourKeys(behaviour=[_record(line) for line in self.found.records()])

    def tables(self) -> Iterator[Table]:
        """What was answered, scores and agreement, and the rows on which geometry and judge differ."""
        expected = f" Expected: {_expectations(self.found)}." if self.found.expected else ""
        shares: dict[str, dict[str, object]] = {}
        others: dict[str, dict[str, object]] = {}
        for one in self.found.observations:
            of_label = one.quantity == "observed"
            lines = shares if of_label else others
            about = {"condition": one.condition, "prompts": one.value.n_prompts, "draws": one.draws}
            line = lines.setdefault(one.condition, about)
            line[f"observed: {one.label}" if of_label else NAMES[one.quantity]] = _cell(one)
        note = f"Judge: {self.found.judge}.{expected} Prompts any of whose draws got a label: "
        note += "exact intervals."
        yield table("behaviour", "What was answered", note, pd.DataFrame(list(shares.values())))
        note = (
            f"{_blind(self.found)}Agreement: of the label expected of the mode a row is nearest to with the "
            "judge's. * marks what is indicative only: the geometry places under 0.9 of the points of known "
            "mode rightly."
        )
        title = "Scores, and whether geometry and judge agree"
        yield table("agreement", title, note, pd.DataFrame(list(others.values())))
        frame = self.found.disagreements.drop(columns="row")
        texts = [name for name in ("prompt", "answer") if name in frame]
        frame = frame[["prompt_id", *texts, *(name for name in frame if name not in ("prompt_id", *texts))]]
        frame = frame.assign(outside=["yes" if outside else "no" for outside in frame["outside"]])
        note = f"{len(frame)} rows nearest to a mode of which another label is expected."
        yield table("disagreements", "Where geometry and judge disagree", note, frame, brief=BRIEF)

    def facts(self) -> Iterator[Fact]:
        """On how many rows of the modes the geometry and the judge agree, where they are compared."""
        for one in self.found.select("agreement"):
            if one.condition == MODES:
                share = number(one.value.estimate, signed=False)
                bounds = interval(one.value.low, one.value.high, signed=False)
                blind = _blind(self.found).rstrip()
                yield Fact(
                    "geometry and judge agree",
                    share,
                    f"{bounds} of the modes' rows, judge: {self.found.judge}{_apart(self.found)}",
                    f"geometry and judge ({self.found.judge}) agree on {share} {bounds} of the modes' rows"
                    + (f". {blind}" if blind else ""),
                )

    def shareable(self) -> Behaviour:
        """Without the rows that a judge disputes."""
        return replace(self, found=replace(self.found, disagreements=self.found.disagreements.head(0)))


def _cell(one: Observation) -> Interval:
    value = one.value
    count = None if one.count is None else (one.count, value.n_prompts)
    mark = "*" if one.indicative else ""
    return Interval(value.estimate, value.low, value.high, one.quantity in SIGNED, count, mark)


def _record(line: dict[str, Any]) -> ObservationRecord | DisagreementRecord:
    kind = DisagreementRecord if line["quantity"] == "disagreement" else ObservationRecord
    return kind(**line)


def _apart(found: Findings) -> str:
    """The same in a few words."""
    groups = "; ".join(" and ".join(modes) for modes in found.alike.values())
    return f", which cannot tell {groups} apart" if groups else ""


def _blind(found: Findings) -> str:
    """Which modes the judge cannot tell apart, so that an agreement says nothing of them."""
    told = [
        f'{" and ".join(modes)} both "{label}"' for label, modes in found.alike.items() if len(modes) == 2
    ]
    told += [f'{", ".join(modes)} all "{label}"' for label, modes in found.alike.items() if len(modes) > 2]
    return f"The judge calls {'; '.join(told)}: it cannot tell these apart. " if told else ""


def _expectations(found: Findings) -> str:
    """What the judge should say under each mode, in a line."""
    return ", ".join(f"{mode}: {label}" for mode, label in found.expected.items())
