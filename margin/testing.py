"""The gate as a test: in pytest, in unittest, or anywhere a test is a function that raises.

from margin.testing import assert_margin

def test_margin_holds():
    assert_margin("runs/candidate", "baseline.json", max_drop=0.01)
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from margin.gate.verdict import Verdict
    from margin.run.run import Run


def assert_margin(run: Run | str | Path, baseline: str | Path, **policy: Any) -> Verdict:
    """The verdict on a run, if it passes; `policy` as the fields of `margin.gate.check.Policy`: max_drop,
    max_leak, min_margin, above_decoys, pairs, slices.

    Raises
    ------
    AssertionError : a regression, a limit not met, or too few prompts to tell; the message is the verdict in
        full.
    IncomparableError, MarginError : as `margin.gate.check.check`.
    """
    verdict = _verdict(run, baseline, policy)
    _require_pass(verdict)
    return verdict


with suppress(ModuleNotFoundError):  # pytest is no dependency: unittest and others need it not
    import pytest

    @pytest.fixture
    def margin_gate(request: pytest.FixtureRequest) -> Callable[..., Verdict]:
        """`assert_margin` that also leaves the margin and its change with the test, in the JUnit file."""

        def gate(run: Run | str | Path, baseline: str | Path, **policy: Any) -> Verdict:
            verdict = _verdict(run, baseline, policy)
            name, overall = run if isinstance(run, str | Path) else run.path, verdict.claims[0]
            # Not by a fixture of the JUnit plugin: pytest may run without it, or in several processes, of
            # which only properties of tests come back.
            request.node.user_properties += [
                (f"margin {name}", overall.after),
                (f"margin change {name}", overall.value.estimate),
            ]
            _require_pass(verdict)
            return verdict

        return gate


def _verdict(run: Run | str | Path, baseline: str | Path, policy: dict[str, Any]) -> Verdict:
    # Imported here, since pytest imports this module in every project that has the package.
    from margin.gate.check import check
    from margin.gate.policy import Policy

    return check(run, baseline, Policy(**policy))


def _require_pass(verdict: Verdict) -> None:
    from margin.console import PlainConsole
    from margin.gate.terminal import print_verdict

    if verdict.outcome != "pass":
        console = PlainConsole(width=120, color_system=None)
        with console.capture() as text:
            print_verdict(verdict, console)
        raise AssertionError(text.get())
