"""What changed since the last release, as one line of a report's verdict."""

from __future__ import annotations

from pathlib import Path

from margin.gate.check import check
from margin.gate.claims import Status as ClaimStatus
from margin.gate.evidence import OVERALL, Measurement
from margin.run.run import Run
from margin.study.notation import interval, model_name, number
from margin.study.verdict import Line, Status
from margin.text import shown

STATUS: dict[ClaimStatus, Status] = {"held": "holds", "broken": "fails", "open": "unclear"}


def against_release(
    run: Run | str | Path, baseline: Measurement | str | Path, *, cluster: str | None = None
) -> Line:
    """Judge the margin of a run against the baseline of an earlier release, as `margin check` does.

    Leaks are left to the other lines of the verdict: an unchanged checkpoint has not fallen.

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
    drops = [claim for claim in verdict.claims if claim.kind == "drop"]
    overall = next(claim for claim in drops if claim.name == OVERALL)
    fallen = [claim.name for claim in drops if claim.status == "broken"]
    before = shown(model_name(verdict.measured.baseline_model, verdict.measured.baseline_adapter))
    told = f"{number(overall.value.estimate)} {interval(overall.value.low, overall.value.high)}".rstrip(" –")
    sentence = (
        f"Against {before} the margin changed by {told}; a fall of {verdict.measured.max_drop:.3g} is allowed"
        + (f"; shown to have fallen further: {shown(', '.join(fallen))}" if fallen else "")
        + "."
    )
    status = "broken" if fallen else overall.status
    return Line("Has the margin kept up with the last release?", STATUS[status], sentence, "by-mode")
