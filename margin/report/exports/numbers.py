"""The numbers of a report that records hand on: over prompts only, to few digits."""

from __future__ import annotations

import math
from dataclasses import replace

from margin.report.report import Report
from margin.report.share import DIGITS
from margin.stats.estimate import Estimate
from margin.study.numbers import RunNumber, margins_of


def handed_on(report: Report) -> list[RunNumber]:
    """Every margin and separation measure, and what they are above decoys, to `DIGITS` digits.

    As in `margin.report.share`, for records are made to be published: nothing of a single prompt, and of
    every number as much as its interval supports. What is no number is left out.
    """
    found = [one for one in margins_of(report.study) if math.isfinite(one.value.estimate)]
    return [replace(one, value=_short(one.value)) for one in found]


def _short(value: Estimate) -> Estimate:
    """The estimate, its interval and error with few digits; None for an end that is no number."""
    low, high, se = (
        None if end is None or not math.isfinite(end) else _digits(end)
        for end in (value.low, value.high, value.se)
    )
    return replace(value, estimate=_digits(value.estimate), low=low, high=high, se=se, influence=None)


def _digits(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
