"""The gate as a test: in pytest, or anywhere a test is a function that raises.

from margin.testing import assert_margin

def test_margin_holds():
    assert_margin("runs/candidate", "baseline.json", max_drop=0.01)
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from margin.gate.check import Verdict
    from margin.run.run import Run


def assert_margin(run: Run | str | Path, baseline: str | Path, **policy: Any) -> Verdict:
    """The verdict on a run, if it passes; `policy` as the fields of `margin.gate.check.Policy`.

    Raises
    ------
    AssertionError : a regression, or too few prompts to tell; the message is the verdict in full.
    IncomparableError, MarginError : as `margin.gate.check.check`.
    """
    # Imported here, since pytest imports this module in every project it runs in.
    from rich.console import Console

    from margin.gate.check import Policy, check
    from margin.gate.terminal import print_verdict

    verdict = check(run, baseline, Policy(**policy))
    if verdict.outcome != "pass":
        console = Console(width=120, color_system=None)
        with console.capture() as text:
            print_verdict(verdict, console)
        raise AssertionError(text.get())
    return verdict


@pytest.fixture
def margin_gate(record_property: Callable[[str, object], None]) -> Callable[..., Verdict]:
    """`assert_margin`, which also leaves the margin and its change in pytest's own JUnit file."""

    def gate(run: Run | str | Path, baseline: str | Path, **policy: Any) -> Verdict:
        verdict = assert_margin(run, baseline, **policy)
        overall = verdict.claims[0]
        record_property("margin", overall.after)
        record_property("margin_change", overall.value.estimate)
        return verdict

    return gate
