"""What changed since the last release, as one line of a report's verdict."""

from __future__ import annotations

from pathlib import Path

from margin.gate.check import check
from margin.gate.measurement import OVERALL, Measurement
from margin.gate.verdict import Outcome
from margin.run.run import Run
from margin.study.notation import interval, model_name, number
from margin.study.verdict import Line, Status
from margin.text import shown

STATUS: dict[Outcome, Status] = {"pass": "holds", "regression": "fails", "inconclusive": "unclear"}


def against_release(
    run: Run | str | Path, baseline: Measurement | str | Path, *, cluster: str | None = None
) -> Line:
    """Judge a run against the baseline of an earlier release, as `margin check` does with its own limits.

    Raises
    ------
    IncomparableError : they differ in what was asked or how it was measured.
    MarginError : a run or baseline that is not whole.

    Example
    -------
    >>> import margin
    >>> from margin.gate.measurement import measure
    >>> against_release("demo-run", measure(margin.open_run("demo-run"))).status in STATUS.values()
    True
    """
    verdict = check(run, baseline, cluster=cluster)
    change = next(claim.value for claim in verdict.claims if claim.name == OVERALL)
    before = shown(model_name(verdict.measured.baseline_model))
    told = f"{number(change.estimate)} {interval(change.low, change.high)}".rstrip(" –")
    sentence = (
        f"Against {before} the margin changed by {told}; a fall of {verdict.measured.max_drop:.3g} is "
        f"allowed: {shown(verdict.reason)} (margin check says more)."
    )
    return Line("Does it hold against the last release?", STATUS[verdict.outcome], sentence, "by-mode")
