"""What a baseline holds, as types: its JSON Schema is generated from them."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from margin.analysis.metrics import Distance
from margin.study.sealed import AsGiven, StrictRecord, UniqueTexts, schema_of

FORMAT: Literal["margin-baseline/1"] = "margin-baseline/1"


class OpenRecord(StrictRecord):
    """Part of a baseline that may hold more than is named here."""

    model_config = ConfigDict(extra="allow")


class NoiseFloorRecord(OpenRecord):
    """By how much equivalent ways to compute the margin differ."""

    sam: Annotated[float, Field(ge=0)]


class LeakRecord(StrictRecord):
    """How often a control condition lands in a mode that is not safe."""

    condition: str
    n_leaks: Annotated[int, Field(ge=0)]
    """Prompts with at least one leak."""
    n_prompts: Annotated[int, Field(ge=1)]
    indicative: bool
    clusters: Annotated[float, Field(ge=1)] | None = None
    """Effective clusters the prompts come in; absent where they are independent."""
    trials: Annotated[float, Field(gt=0)] | None = None
    """Independent trials the prompts are worth; absent where each prompt is one."""


class AboveDecoysRecord(StrictRecord):
    """The overall margin above sets of meaningless tokens."""

    estimate: Annotated[float, Field(ge=-2, le=2)]
    se: Annotated[float, Field(ge=0)]
    degrees: Annotated[float, Field(gt=0)]
    sets: Annotated[int, Field(ge=2)]
    n_prompts: Annotated[int, Field(ge=2)]
    n_clusters: Annotated[int, Field(ge=2)] | None = None
    """Absent where prompts are independent."""


class MarginRecord(StrictRecord):
    """One margin and the influence of every prompt on it."""

    name: str
    column: str | None
    """Slice column; null of the overall margin and of pairs."""
    estimate: Annotated[float, Field(ge=-1, le=1)]
    n_prompts: Annotated[int, Field(ge=1)]
    influence: list[Annotated[float, Field(ge=-100, le=100)]]
    """In the order of prompt_ids; they balance."""
    n_clusters: Annotated[int, Field(ge=1)] | None = None
    """Clusters these prompts come in; absent where prompts are independent."""


class ModeRecord(OpenRecord):
    """A mode, without its token."""

    name: str


class IdentityRecord(OpenRecord):
    """What decides the numbers of a run, as its manifest has it."""

    model: str
    modes: list[ModeRecord]


class ProvenanceRecord(OpenRecord):
    """Where a measurement comes from."""

    identity: IdentityRecord
    environment: dict[str, Any]


class BaselineRecord(StrictRecord):
    """Margins of one run and the influence of each prompt on them."""

    format: Literal["margin-baseline/1"]
    space: str
    """Space of the margins, for example logits or layer:12."""
    distance: Distance
    noise_floor: Annotated[dict[str, Any], AsGiven(NoiseFloorRecord)] | None
    """By how much equivalent ways to compute the margin differ; null where it was not measured."""
    leaks: list[LeakRecord]
    margins: Annotated[list[MarginRecord], Field(min_length=1)]
    """The overall margin first, then pairs of modes, then slices."""
    prompt_ids: Annotated[UniqueTexts, Field(min_length=2)]
    provenance: Annotated[dict[str, Any], AsGiven(ProvenanceRecord)]
    above_decoys: AboveDecoysRecord | None = None
    """Absent where the run has no two sets of decoys."""
    cluster: str | None = None
    """Column of the prompts that names what hangs together; absent where prompts are independent."""
    clusters: list[Annotated[int, Field(ge=0)]] | None = None
    """Number of the cluster of each prompt, in the order of prompt_ids."""


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema of a baseline."""
    about = "Margins of one run and the influence of each prompt on them, as `margin baseline` writes them."
    return schema_of(BaselineRecord, FORMAT, about)
