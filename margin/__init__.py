"""The measuring, start to end: modes, prompts, capture, margin, report."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from margin.analysis.sam import sam, silhouette_samples
    from margin.capture.collect import collect
    from margin.capture.head import load_head
    from margin.report.analyse import analyse
    from margin.run.run import open_run
    from margin.stats.estimate import Estimate

__all__ = ["Estimate", "analyse", "collect", "load_head", "open_run", "sam", "silhouette_samples"]

# Imported when first asked for: a reader of runs needs no torch, and `margin --help` nothing at all.
_HOMES = {
    "Estimate": "margin.stats.estimate",
    "analyse": "margin.report.analyse",
    "collect": "margin.capture.collect",
    "load_head": "margin.capture.head",
    "open_run": "margin.run.run",
    "sam": "margin.analysis.sam",
    "silhouette_samples": "margin.analysis.sam",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'margin' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
