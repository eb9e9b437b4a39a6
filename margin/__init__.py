"""The measuring, start to end: modes, prompts, capture, margin, report."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from margin.analysis.sam import sam, silhouette_samples
    from margin.capture.asked import asked_rows
    from margin.capture.collect import collect, plan
    from margin.capture.head import load_head
    from margin.capture.imported import import_states
    from margin.errors import IncomparableError, MarginError
    from margin.experiments.secrecy import secrecy
    from margin.gate.check import check
    from margin.gate.policy import Policy
    from margin.report.analyse import analyse
    from margin.report.analyse_arrays import analyse_arrays
    from margin.report.points import PointReport
    from margin.report.report import Report
    from margin.run.run import Run, open_run
    from margin.stats.estimate import Estimate
    from margin.study.audit import draw_audit
    from margin.study.comparison import compare
    from margin.study.judging import judge
    from margin.study.probing import probe
    from margin.study.relating import relate
    from margin.study.relation import Relation
    from margin.tracing.trace import trace

__all__ = [
    "Estimate",
    "IncomparableError",
    "MarginError",
    "PointReport",
    "Policy",
    "Relation",
    "Report",
    "Run",
    "analyse",
    "analyse_arrays",
    "asked_rows",
    "check",
    "collect",
    "compare",
    "draw_audit",
    "import_states",
    "judge",
    "load_head",
    "open_run",
    "plan",
    "probe",
    "relate",
    "sam",
    "secrecy",
    "silhouette_samples",
    "trace",
]

# Imported when first asked for: a reader of runs needs no torch, and `margin --help` nothing at all.
_HOMES = {
    "Estimate": "margin.stats.estimate",
    "IncomparableError": "margin.errors",
    "MarginError": "margin.errors",
    "Policy": "margin.gate.policy",
    "PointReport": "margin.report.points",
    "Relation": "margin.study.relation",
    "Report": "margin.report.report",
    "Run": "margin.run.run",
    "analyse": "margin.report.analyse",
    "analyse_arrays": "margin.report.analyse_arrays",
    "asked_rows": "margin.capture.asked",
    "check": "margin.gate.check",
    "collect": "margin.capture.collect",
    "compare": "margin.study.comparison",
    "draw_audit": "margin.study.audit",
    "import_states": "margin.capture.imported",
    "judge": "margin.study.judging",
    "load_head": "margin.capture.head",
    "open_run": "margin.run.run",
    "plan": "margin.capture.collect",
    "probe": "margin.study.probing",
    "relate": "margin.study.relating",
    "sam": "margin.analysis.sam",
    "secrecy": "margin.experiments.secrecy",
    "silhouette_samples": "margin.analysis.sam",
    "trace": "margin.tracing.trace",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'margin' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
