"""What relate.json holds, as types: its JSON Schema is generated from them."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, Literal

from pydantic import Field

from margin.stats.estimate import Estimate
from margin.study.notation import model_name
from margin.study.numbers import By, RunNumber
from margin.study.record import Count, Number, Record, Share
from margin.study.related_runs import Runs
from margin.study.relation import Candidate, Pair, Relation
from margin.study.sealed import schema_of
from margin.study.within_run import WithinRun

FORMAT: Literal["margin-relate/1"] = "margin-relate/1"


class OverRunsRecord(Record):
    """A number over runs with its interval; null where it is not known, and its method says why."""

    estimate: Number
    low: Number
    high: Number
    level: Number
    method: str


class PairRecord(Record):
    """One margin against one behaviour."""

    margin: str
    behaviour: str
    by: By
    """What told the behaviour."""
    worse: bool
    """Whether more of the behaviour is worse: a good margin then has a negative correlation."""
    closer: bool
    """Whether more of the margin says that modes stand closer together."""
    spearman: OverRunsRecord
    kendall: OverRunsRecord
    """Tau-b."""
    corrected: OverRunsRecord
    """Spearman's without the measurement error of either number."""
    partial: OverRunsRecord | None
    """Spearman's with the step of training held; null where steps are not known."""
    p_value: Number
    """Of no correlation."""
    p_holm: Number
    """Adjusted over all pairs of this file."""
    reliability_of_margin: Number
    """Share of the spread, as an order, that is no measurement error."""
    reliability_of_behaviour: Number
    n_runs: Annotated[int, Field(ge=0)]
    n_trainings: Annotated[int, Field(ge=0)]


class CandidateRecord(Record):
    """One margin as something to gate on."""

    margin: str
    mean: OverRunsRecord
    """Mean of Spearman's over `judged_by`, positive where modes that stand farther apart go with better
    behaviour."""
    least: Number
    behaviour: str
    """The behaviour that it tells least."""
    behind: OverRunsRecord
    """`mean` less that of the first, paired by checkpoints."""


class WithinRecord(Record):
    """How well the margin of single rows tells which answers are not as they should be, in one run."""

    run: str
    margin: Literal["leave_prompt_out", "prompt_centred"]
    rows: Annotated[int, Field(ge=0)]
    failed: Annotated[int, Field(ge=0)]
    auc: OverRunsRecord
    """Of rows that failed against those of the same mode that did not."""
    auc_of_all: OverRunsRecord
    """Of rows of all modes."""
    sensitivity: OverRunsRecord
    """At 1% of false alarms."""
    risk: list[RiskRecord]


class RiskRecord(Record):
    """Share of failures among the rows with the largest margins."""

    coverage: Share
    """Share of the rows kept."""
    risk: OverRunsRecord


class AreaRecord(Record):
    """Mean area under the curve over runs, within modes."""

    margin: str
    auc: OverRunsRecord
    n_runs: Annotated[int, Field(ge=1)]
    n_trainings: Count


class NumberRecord(Record):
    """One number of one run."""

    name: str
    estimate: Number
    low: Number
    high: Number


class RunRecord(Record):
    """One checkpoint."""

    run: str
    model: str
    training: str
    step: Number
    numbers: list[NumberRecord]


class LeftOutRecord(Record):
    """A number that was not related to any other."""

    name: str
    why: str


class RelationRecord(Record):
    """Whether margins of checkpoints tell what these do."""

    format: Literal["margin-relate/1"] = FORMAT
    level: float
    n_runs: Annotated[int, Field(ge=1)]
    n_trainings: Annotated[int, Field(ge=1)]
    judged_by: list[str]
    """Behaviours that margins are ranked by."""
    candidates: list[CandidateRecord]
    """Margins to gate on, the best first."""
    pairs: list[PairRecord]
    """The closest first."""
    areas: list[AreaRecord]
    within: list[WithinRecord]
    left_out: list[LeftOutRecord]
    runs: list[RunRecord]


WithinRecord.model_rebuild()


def relation_record(found: Relation) -> RelationRecord:
    """The record of what was found."""
    runs = found.runs
    return RelationRecord(
        level=found.level,
        n_runs=len(runs.names),
        n_trainings=len(runs.clusters),
        judged_by=list(found.judged_by),
        candidates=[_candidate(one) for one in found.candidates],
        pairs=[_pair(one) for one in found.pairs],
        areas=[
            AreaRecord(margin=name, auc=_over(one), n_runs=one.n_prompts, n_trainings=one.n_clusters)
            for name, one in found.areas.items()
        ],
        within=[_within(one) for one in found.within],
        left_out=[LeftOutRecord(name=name, why=why) for name, why in found.left_out.items()],
        runs=[_run(found, runs, place) for place in range(len(runs.names))],
    )


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema of relate.json."""
    about = "Whether margins of checkpoints tell what these do, as `margin relate` writes it."
    return schema_of(RelationRecord, FORMAT, about)


def _over(one: Estimate) -> OverRunsRecord:
    return OverRunsRecord(
        estimate=one.estimate, low=one.low, high=one.high, level=one.level, method=one.method
    )


def _pair(pair: Pair) -> PairRecord:
    found = pair.association
    of_margin, of_behaviour = found.reliability or (None, None)
    return PairRecord(
        margin=pair.margin,
        behaviour=pair.behaviour,
        by=pair.by,
        worse=pair.worse,
        closer=pair.closer,
        spearman=_over(found.spearman),
        kendall=_over(found.kendall),
        corrected=_over(found.corrected),
        partial=None if found.partial is None else _over(found.partial),
        p_value=found.p_value,
        p_holm=pair.p_holm,
        reliability_of_margin=of_margin,
        reliability_of_behaviour=of_behaviour,
        n_runs=pair.runs,
        n_trainings=pair.trainings,
    )


def _candidate(one: Candidate) -> CandidateRecord:
    return CandidateRecord(
        margin=one.margin,
        mean=_over(one.mean),
        least=one.least,
        behaviour=one.behaviour,
        behind=_over(one.behind),
    )


def _within(one: WithinRun) -> WithinRecord:
    return WithinRecord(
        run=one.run,
        margin=one.margin,  # type: ignore[arg-type]
        rows=one.rows,
        failed=one.failed,
        auc=_over(one.auc),
        auc_of_all=_over(one.auc_of_all),
        sensitivity=_over(one.sensitivity),
        risk=[RiskRecord(coverage=share, risk=_over(risk)) for share, risk in one.risk.items()],
    )


def _run(found: Relation, runs: Runs, place: int) -> RunRecord:
    identity = runs.runs[place].manifest.identity
    numbers: list[tuple[str, RunNumber | None]] = [
        (name, of_runs[place]) for name, of_runs in found.numbers.items()
    ]
    return RunRecord(
        run=runs.names[place],
        model=model_name(identity.model, identity.adapter),
        training=runs.training[place],
        step=runs.step[place],
        numbers=[
            NumberRecord(name=name, estimate=one.value.estimate, low=one.value.low, high=one.value.high)
            for name, one in numbers
            if one is not None
        ],
    )
