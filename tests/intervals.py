"""The ends of an interval that a test relies on: where an estimate has none, the test fails here."""

from __future__ import annotations

from margin.stats.estimate import Estimate


def lower(found: Estimate) -> float:
    """The lower end."""
    assert found.low is not None, found
    return found.low


def upper(found: Estimate) -> float:
    """The upper end."""
    assert found.high is not None, found
    return found.high


def holds(found: Estimate, value: float) -> bool:
    """Whether the interval holds a value."""
    return lower(found) <= value <= upper(found)
