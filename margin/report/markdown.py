"""The report as Markdown."""

from __future__ import annotations

from typing import Any

import jinja2

from margin.analysis.estimate import Estimate
from margin.report.report import Report


def to_markdown(report: Report) -> str:
    """The report as GitHub-flavoured Markdown."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("margin.report"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - Markdown: `cell` escapes what came from outside
        trim_blocks=False,
        keep_trailing_newline=True,
    )
    environment.filters["estimate"] = _estimate
    environment.filters["cell"] = _cell
    margin = report.headline.leave_prompt_out
    return environment.get_template("report.md.jinja").render(
        model=_cell(report.provenance["model"]),
        n_prompts=margin.n_prompts,
        level=f"{margin.level:.0%}",
        modes=[_cell(mode) for mode in report.headline.per_mode],
        headline=report.headline,
        null=report.null,
        weakest_pair=report.weakest_pair,
        sam=report.sam,
        worst=report.worst_prompts(),
        provenance=_flat(report.provenance),
    )


def _estimate(estimate: Estimate) -> str:
    return str(estimate)


def _cell(value: object) -> str:
    """A table cell: no line ends, and nothing that Markdown or HTML would take for its own."""
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    for character in "\\`*_{}[]<>|#!":
        text = text.replace(character, f"\\{character}" if character not in "<>" else {"<": "&lt;", ">": "&gt;"}[character])
    return " ".join(text.split())


def _flat(record: dict[str, Any], prefix: str = "") -> dict[str, object]:
    out: dict[str, object] = {}
    for key, value in record.items():
        if isinstance(value, dict):
            out |= _flat(value, f"{prefix}{key}.")
        else:
            out[f"{prefix}{key}"] = value
    return out
