"""When a training may end."""

from __future__ import annotations

from typing import Any

import pytest

from margin.analysis.early_stop import EarlyStop
from margin.errors import MarginError
from margin.stats.estimate import Estimate


def margins(*values: float) -> list[Estimate]:
    return [Estimate(value, value - 0.02, value + 0.02) for value in values]


@pytest.mark.parametrize(
    ("stop", "history", "stops"),
    [
        (EarlyStop(reached=0.1), margins(0.0, 0.11), False),  # the estimate is, the lower bound is not
        (EarlyStop(reached=0.1), margins(0.0, 0.125), True),
        (EarlyStop(reached=0.1), margins(0.125, 0.05), False),  # it is the latest that counts
        (EarlyStop(lost=0.1), margins(0.3, 0.09), False),
        (EarlyStop(lost=0.1), margins(0.3, 0.07), True),
        (EarlyStop(patience=2), margins(0.2), False),
        (EarlyStop(patience=2), margins(0.2, 0.1), False),
        (EarlyStop(patience=2), margins(0.2, 0.1, 0.2), True),  # as good is no better
        (EarlyStop(patience=2), margins(0.2, 0.1, 0.3), False),
        (EarlyStop(patience=2), margins(0.2, 0.1, 0.3, 0.29, 0.28), True),
        (EarlyStop(reached=0.9, patience=1), margins(0.2, 0.1), True),  # any reason is enough
        (EarlyStop(reached=0.0, lost=1.0), [Estimate(0.5)], False),  # nothing is shown without an interval
    ],
)
def test_training_ends_when_it_is_shown_or_no_longer_rises(
    stop: EarlyStop, history: list[Estimate], stops: bool
) -> None:
    assert (stop.reason(history) is not None) == stops


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"patience": 0},
        {"patience": 1.5},
        {"patience": True},
        {"reached": "0.2"},
        {"reached": 20},
        {"lost": float("nan")},
    ],
)
def test_a_stop_that_cannot_be_meant_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(MarginError):
        EarlyStop(**options)
