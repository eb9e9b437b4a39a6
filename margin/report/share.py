"""The shareable form of a report: the least that can be handed on. SECURITY.md says what it withstood."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from margin.errors import MarginError, UnwritableError
from margin.report.figures import OVER_PROMPTS, save_figures
from margin.report.markdown import to_markdown
from margin.report.report import Report
from margin.report.write import to_json
from margin.run.files import make_folder, write_atomic

DIGITS = 3
"""Significant digits of every number: an interval has no more, and each further one helps a guess."""


def shareable(report: Report) -> Report:
    """The report without anything about a single prompt: the weakest, and rows that a judge disputes."""
    return Report(report.study, over_prompts_only=True)


def write_shareable(report: Report, out: Path) -> list[Path]:
    """Write report.json and report.md of a report's shareable form, and figures of it, into `out`; the paths.

    Every number in report.json is over prompts, to `DIGITS` digits; there is no state, no distance between
    rows, no picture of points, no prompt's own number, no fingerprint. SECURITY.md says what that resists.

    Raises
    ------
    MarginError : `out` holds something already, or lies in the run's folder.
    UnwritableError : it cannot be made, or a file of it not written.
    """
    require_apart(out, report.run.path)
    require_new(out)
    kept = shareable(report)
    contents = {
        "report.json": json.dumps(_short(json.loads(to_json(kept))), indent=2, ensure_ascii=False) + "\n",
        "report.md": to_markdown(kept),
    }
    make_folder(out / "figures")
    for name, text in contents.items():
        write_atomic(out / name, text.encode())
    written = [out / name for name in contents]
    for name in OVER_PROMPTS:
        try:
            written += save_figures(kept, (name,), out / "figures", ("png", "pdf"))
        except UnwritableError:
            raise
        except MarginError:  # the run holds nothing to draw there
            continue
    return written


def require_apart(out: Path, run: Path) -> None:
    """MarginError where a folder for what is handed on lies in the run's, which nobody else may read."""
    if out.resolve().is_relative_to(run.resolve()):
        raise MarginError(f"{out} lies within {run}, which is not to be handed on: choose a folder elsewhere")


def require_new(out: Path) -> None:
    """MarginError where a folder for what is handed on holds something already, or is none."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise MarginError(f"{out} is there already: choose a new folder, nothing else is to be handed on")


def _short(value: Any) -> Any:
    """The value with `DIGITS` digits of every number that is not whole."""
    if isinstance(value, dict):
        return {key: _short(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_short(item) for item in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
