"""What report.json holds, as types: the JSON Schema is generated from them."""

from __future__ import annotations

import math
from typing import Annotated, Any, Self, TypeVar

import pandas as pd
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from margin.short import Short
from margin.stats.estimate import Estimate


def _number(value: Any) -> Any:
    """A number as JSON has it: none in place of what is no number, Python's own in place of NumPy's."""
    if hasattr(value, "item"):
        value = value.item()
    return None if value is pd.NA or (isinstance(value, float) and not math.isfinite(value)) else value


Number = Annotated[float | None, BeforeValidator(_number)]
"""A number, or null where none is known."""
Text = Annotated[str | None, BeforeValidator(_number)]
"""A text, or null."""
Count = Annotated[Annotated[int, Field(ge=0)] | None, BeforeValidator(_number)]
"""A whole number of at least 0, or null."""
Share = Annotated[float, Field(ge=0, le=1)]


class Record(Short, BaseModel):
    """Part of a report."""

    # Built when first used: a command uses few of a hundred kinds.
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, defer_build=True)


class EstimateRecord(Record):
    """A number with its interval, as `margin.Estimate`."""

    estimate: float
    low: Number
    high: Number
    se: Annotated[Annotated[float, Field(ge=0)] | None, BeforeValidator(_number)]
    level: Annotated[Annotated[float, Field(gt=0, lt=1)] | None, BeforeValidator(_number)]
    method: str
    n_prompts: Annotated[int, Field(ge=0)]
    n_clusters: Count = None
    """Clusters these prompts come in, which the interval is over; null where prompts are independent."""

    @classmethod
    def from_estimate(cls, estimate: Estimate, **about: Any) -> Self:
        """The record of an estimate, and what else it says."""
        return cls.model_validate(about | estimate.to_dict())


class ScoreRecord(EstimateRecord):
    """A number with its interval that may be undefined; its method then says why."""

    estimate: Number  # type: ignore[assignment]


R = TypeVar("R", bound=Record)


def records(kind: type[R], lines: pd.DataFrame) -> list[R]:
    """One record a line of a table."""
    return [
        kind.model_validate({str(key): _number(value) for key, value in line.items()})
        for line in lines.to_dict("records")
    ]
