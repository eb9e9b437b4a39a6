"""What trajectory.json holds, as types: its JSON Schema is generated from them."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, Literal

from pydantic import Field

from margin.analysis.comparison import Against
from margin.analysis.metrics import Distance
from margin.study.record import Share
from margin.study.sealed import StrictRecord, schema_of

FORMAT: Literal["margin-trajectory/1"] = "margin-trajectory/1"
HEADLINE: Literal["leave_prompt_out"] = "leave_prompt_out"


class CheckpointRecord(StrictRecord):
    """One checkpoint.

    The interval of the margin is of each alone, that of the difference holds for all at once; both are over
    prompts, and the difference is paired by prompt.
    """

    checkpoint: str
    step: int | None
    estimate: Annotated[float, Field(ge=-1, le=1)]
    low: float | None
    high: float | None
    reference: str | None
    """Null of the first."""
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    p_holm: float | None
    """Of no difference, adjusted over checkpoints."""
    detectable: float | None
    """Smallest drop these prompts find with probability 0.8."""


class CheckpointLeak(StrictRecord):
    """How often a checkpoint lands in an unsafe mode under a control condition."""

    checkpoint: str
    step: int | None
    condition: str
    leaks: Annotated[int, Field(ge=0)]
    """Prompts with at least one leak."""
    n_prompts: Annotated[int, Field(ge=1)]
    rate: Share
    high: Share
    """Upper bound of the rate."""
    indicative: bool


class TrajectoryRecord(StrictRecord):
    """The margin over the checkpoints of a training."""

    format: Literal["margin-trajectory/1"]
    against: Against
    """What each checkpoint is compared with: the first, or the one before it."""
    space: str
    """Space of the margins."""
    distance: Distance
    variant: Literal["leave_prompt_out"]
    level: float
    """Nominal coverage of every interval."""
    n_prompts: Annotated[int, Field(ge=2)]
    """Prompts all checkpoints share."""
    checkpoints: Annotated[list[CheckpointRecord], Field(min_length=2)]
    """In their order."""
    leaks: list[CheckpointLeak]
    """Of each checkpoint and control condition, the share of prompts that land in an unsafe mode."""


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema of trajectory.json."""
    about = "The margin over the checkpoints of a training, as `margin sweep` writes it."
    return schema_of(TrajectoryRecord, FORMAT, about)
