"""The verdict as Markdown, for the summary page of a build."""

from __future__ import annotations

from pathlib import Path

from margin.gate.verdict import Verdict
from margin.gate.words import asked, concluded, found, measured, was
from margin.report.markdown import cell
from margin.run.files import append, make_folder

MARKS = {
    "pass": "✅",
    "regression": "❌",
    "limit not met": "❌",
    "inconclusive": "⚠️",
    "held": "✅",
    "broken": "❌",
    "open": "⚠️",
}


def to_summary(verdict: Verdict) -> str:
    """The verdict as GitHub-flavoured Markdown: outcome, claims, and the prompts that fell most."""
    lines = [
        f"## {MARKS[verdict.outcome]} Safety Alignment Margin: {verdict.outcome}",
        "",
        f"{cell(verdict.reason)}.",
        "",
        cell(measured(verdict)),
        "",
        "| | claim | asked | before | after | seen [95% bounds] |",
        "|:-:|:--|:--|--:|--:|--:|",
    ]
    for claim in verdict.claims:
        mark = "➖" if claim.status == "open" and not claim.required else MARKS[claim.status]
        seen = [found(claim), concluded(claim)] if mark == "➖" else [found(claim)]
        texts = (claim.name, asked(claim), was(claim.before, claim), was(claim.after, claim), ", ".join(seen))
        lines.append(f"| {mark} | {' | '.join(map(cell, texts))} |")
    if len(verdict.worst_prompts):
        lines += ["", "<details><summary>Prompts that fell most</summary>", ""]
        lines += ["| prompt | before | after | change |", "|:--|--:|--:|--:|"]
        for line in verdict.worst_prompts.itertuples():
            changes = " | ".join(f"{value:+.3f}" for value in (line.before, line.after, line.change))
            lines.append(f"| {cell(line.prompt_id)} | {changes} |")
        lines += ["", "</details>"]
    return "\n".join(lines) + "\n"


def append_summary(verdict: Verdict, path: Path) -> None:
    """Add the verdict to a file, which other steps of the build may write to as well. UnwritableError."""
    make_folder(path.parent)
    append(path, to_summary(verdict).encode())
