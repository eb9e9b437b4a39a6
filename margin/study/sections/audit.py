"""Is the judge right? Its rates beside those that a hand-labelled sample gives, and its own errors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from margin.analysis.behaviour.audited import Accuracy, Audit, CorrectedRate
from margin.stats.estimate import Estimate
from margin.study.notation import interval, number
from margin.study.record import Count, EstimateRecord, Record, Share
from margin.study.section import Fact, Section
from margin.study.sections.behaviour import Behaviour
from margin.study.study import Study
from margin.study.table import Interval, Table, table
from margin.text import brief


class CorrectedRecord(Record):
    """How many of the answers under one condition bear a label."""

    condition: str
    kind: str
    label: str
    answers: Count
    """Answers judged."""
    audited: Count
    """Answers a person labelled too."""
    judged: EstimateRecord
    """Share of answers by the judge; its interval knows nothing of the judge's errors."""
    corrected: EstimateRecord
    """Share of answers that a person would call so."""


class AccuracyRecord(Record):
    """How well the judge knows one label, over the modes' answers."""

    label: str
    modes: list[str]
    """Modes whose answers should bear it."""
    audited: Count
    hits: Count
    """Audited answers that a person calls so."""
    said: Share
    """Share of these answers to which the judge gives it: the sensitivity of one that guesses as often."""
    sensitivity: EstimateRecord | None
    """Null where a person called nothing so."""
    specificity: EstimateRecord | None
    """Null where a person called everything so."""
    tells: bool
    """Whether the interval of the sensitivity lies above that of guessing."""


class AuditRecord(Record):
    """What a person says of a sample of the answers."""

    judge: str
    rates: list[CorrectedRecord]
    labels: list[AccuracyRecord]
    undistinguished: list[tuple[str, str]]
    """Pairs of modes that the judge is not shown to tell apart."""


class AuditKeys(Record):
    audit: AuditRecord | None = None
    """What a person says of a sample of the judged answers; null where nobody labelled any."""


@dataclass(frozen=True, eq=False)
class AuditSection(Section):
    """What a hand-labelled sample says of the judge."""

    keys = AuditKeys
    found: Audit

    @classmethod
    def of(cls, study: Study) -> AuditSection | None:
        """None where no person labelled any answer."""
        behaviour = study.section(Behaviour)
        return None if behaviour is None or behaviour.found.audit is None else cls(behaviour.found.audit)

    def record(self) -> AuditKeys:
        """Rates, the judge's errors, and the modes it does not tell apart."""
        return AuditKeys(
            audit=AuditRecord(
                judge=self.found.judge,
                rates=[_rate(one) for one in self.found.rates],
                labels=[_accuracy(one) for one in self.found.accuracies],
                undistinguished=self.found.undistinguished(),
            )
        )

    def tables(self) -> Iterator[Table]:
        """Rates by the judge and corrected, and what the judge gets wrong."""
        rates = pd.DataFrame(
            [
                {
                    "condition": one.condition,
                    "label": one.label,
                    "answers": one.answers,
                    "by hand": one.audited,
                    "judge": _cell(one.judged),
                    "corrected": _cell(one.corrected, "!" if one.differs else ""),
                }
                for one in self.found.rates
            ]
        )
        note = (
            "Shares of answers, over all draws. Corrected: by the answers that were labelled by hand, drawn "
            f"within each condition and label of {self.found.judge}; the interval holds however badly the "
            "judge does. The judge's own interval knows nothing of its errors. ! marks a judge's rate "
            "outside of what the audit leaves open."
        )
        yield table("audit", "What was answered, as a person would say", note, rates)
        errors = pd.DataFrame(
            [
                {
                    "label": one.label,
                    "expected of": ", ".join(one.modes) or None,
                    "by hand": one.hits,
                    "said": one.said,
                    "sensitivity": _cell(one.sensitivity),
                    "specificity": _cell(one.specificity),
                    "tells it": "yes" if one.tells else "not shown",
                }
                for one in self.found.accuracies
            ]
        )
        note = (
            f"Judge: {self.found.judge}. By hand: answers that a person calls so, of those labelled. Said: "
            "the share of answers that the judge calls so. Sensitivity: the share of what a person calls "
            "so that the judge calls so. Specificity: the share of what a person does not call so that the "
            "judge does not. Over the modes' answers, weighted back to all of them. A judge tells a label "
            "where the interval of its sensitivity lies above what guessing as often would give."
        )
        yield table("judge", "What the judge gets wrong", note, errors)

    def facts(self) -> Iterator[Fact]:
        """Modes that the judge does not tell apart, and how many of its rates the audit refutes."""
        if pairs := self.found.undistinguished():
            modes = ", ".join(f"{brief(first)} and {brief(second)}" for first, second in pairs)
            yield Fact(
                "the judge does not tell apart",
                modes,
                f"judge: {brief(self.found.judge)}",
                f"by a person's labels, the judge ({brief(self.found.judge)}) is not shown to tell apart "
                f"{modes}: {self._why({mode for pair in pairs for mode in pair})}",
                alarm=True,
            )
        rates = self.found.rates
        wrong = [one for one in rates if one.differs]
        sentence = (
            f"{len(wrong)} of {len(rates)} rates of the judge ({brief(self.found.judge)}) are outside of "
        )
        sentence += "what labels by hand leave open"
        if wrong:
            most = max(wrong, key=lambda one: abs(one.judged.estimate - one.corrected.estimate))
            value, share = most.corrected, number(most.judged.estimate, signed=False)
            found = number(value.estimate, signed=False)
            bounds = interval(value.low, value.high, signed=False)
            sentence += f": of {brief(most.label)} under {brief(most.condition)} it says {share}, a person "
            sentence += f"would {found} {bounds}"
        yield Fact(
            "rates the audit refutes", f"{len(wrong)} of {len(rates)}", "", sentence, False, bool(wrong)
        )

    def _why(self, modes: set[str]) -> str:
        """How often the judge finds the labels of these modes, beside how often it says them."""
        said = []
        for one in self.found.accuracies:
            if modes & set(one.modes):
                guess = number(one.said, signed=False)
                if one.sensitivity is None:
                    said.append(f"no answer was called {brief(one.label)} by a person")
                    continue
                bounds = interval(one.sensitivity.low, one.sensitivity.high, signed=False)
                share = number(one.sensitivity.estimate, signed=False)
                said.append(
                    f"it finds {share} {bounds} of the answers that are {brief(one.label)}, "
                    f"and says it of {guess} of all"
                )
        return "; ".join(said)


def _cell(value: Estimate | None, mark: str = "") -> Interval | None:
    if value is None:
        return None
    return Interval(value.estimate, value.low, value.high, signed=False, mark=mark)


def _rate(one: CorrectedRate) -> CorrectedRecord:
    return CorrectedRecord(
        condition=one.condition,
        kind=one.kind,
        label=one.label,
        answers=one.answers,
        audited=one.audited,
        judged=EstimateRecord.from_estimate(one.judged),
        corrected=EstimateRecord.from_estimate(one.corrected),
    )


def _accuracy(one: Accuracy) -> AccuracyRecord:
    sensitivity, specificity = (
        None if value is None else EstimateRecord.from_estimate(value)
        for value in (one.sensitivity, one.specificity)
    )
    return AccuracyRecord(
        label=one.label,
        modes=list(one.modes),
        audited=one.audited,
        hits=one.hits,
        said=one.said,
        sensitivity=sensitivity,
        specificity=specificity,
        tells=one.tells,
    )
