"""What the gate says of a run, and why."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

import pandas as pd

from margin.analysis.metrics import Distance
from margin.gate.claims import Claim, Kind, Status
from margin.short import Short
from margin.study.record import EstimateRecord, Number, Record, records

Outcome = Literal["pass", "regression", "inconclusive", "limit not met"]
EXIT_CODES: dict[Outcome, int] = {"pass": 0, "regression": 1, "inconclusive": 3, "limit not met": 5}
WORST = 10
"""Prompts a verdict names."""


class Measured(Record):
    """What was compared, and how it was measured."""

    model: str
    """Checkpoint of the run."""
    adapter: str | None = None
    """Adapter on it."""
    baseline_model: str
    """Checkpoint of the baseline."""
    baseline_adapter: str | None = None
    space: str
    distance: Distance
    n_prompts: int
    cluster: str | None = None
    """Column the prompts are clustered by; null where they are independent."""
    n_clusters: int | None = None
    max_drop: float
    """Fall of a margin that was allowed."""
    auto: bool
    """Whether that is what the baseline's prompts can tell."""


class ClaimRecord(Record):
    """One claim, as `margin.gate.claims.Claim`."""

    status: Status
    name: str
    kind: Kind
    required: bool
    value: EstimateRecord
    limit: float
    p_held: float
    p_broken: float
    units: float
    before: Number
    after: Number
    detectable: Number
    indicative: bool
    missing: int = 0
    """Prompts the baseline has under a control and the run has not: bounds hold whether they leak or not."""
    worse: bool
    """Whether, if it is broken, the run is worse than the baseline; else it is a limit not met."""


class PromptRecord(Record):
    """One prompt and what became of it, as `margin.gate.measurement.prompt_changes`."""

    prompt_id: str
    before: float
    after: float
    change: float


class VerdictRecord(Record):
    """What `margin check --json` prints."""

    outcome: Outcome
    exit_code: int
    reason: str
    prompts_needed: int | None
    model: str
    adapter: str | None = None
    baseline_model: str
    baseline_adapter: str | None = None
    space: str
    distance: Distance
    n_prompts: int
    cluster: str | None = None
    n_clusters: int | None = None
    max_drop: float
    auto: bool
    claims: list[ClaimRecord]
    worst_prompts: list[PromptRecord]


@dataclass(frozen=True, eq=False)
class Verdict(Short):
    """What the gate says, and why."""

    outcome: Outcome
    reason: str
    """The outcome in one sentence."""
    claims: tuple[Claim, ...]
    """Every claim, with p-values for being broken adjusted over all of them (Holm, weighted)."""
    prompts: pd.DataFrame
    """One line a prompt, most fallen first: prompt_id, before, after, change. See `prompt_changes`."""
    prompts_needed: int | None
    """Prompts that would settle what is open; None where nothing is, or where no number would."""
    measured: Measured
    """space, distance, n_prompts, and the models of run and baseline."""

    @property
    def exit_code(self) -> int:
        """0 pass, 1 regression, 3 inconclusive, 5 limit not met."""
        return EXIT_CODES[self.outcome]

    @property
    def worst_prompts(self) -> pd.DataFrame:
        """The `WORST` prompts that fell most; fewer where fewer fell."""
        return self.prompts[self.prompts["change"] < 0].head(WORST)

    def to_record(self) -> VerdictRecord:
        """What `margin check --json` prints, as its type."""
        return VerdictRecord(
            outcome=self.outcome,
            exit_code=self.exit_code,
            reason=self.reason,
            prompts_needed=self.prompts_needed,
            claims=[_record(claim) for claim in self.claims],
            worst_prompts=records(PromptRecord, self.worst_prompts),
            **dict(self.measured),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain record, as `margin check --json` prints it."""
        return self.to_record().model_dump(exclude_unset=True)


def _record(claim: Claim) -> ClaimRecord:
    about = {each.name: getattr(claim, each.name) for each in fields(claim) if each.name != "value"}
    return ClaimRecord(status=claim.status, value=EstimateRecord.from_estimate(claim.value), **about)
