"""The report as Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from margin.report.report import Report
from margin.study.section import Fact
from margin.study.table import Cell, Table
from margin.text import shown

ESCAPED = str.maketrans(
    {c: f"\\{c}" for c in "\\`*_{}[]|#!~"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;", "@": "&#64;"}
)


def to_markdown(report: Report) -> str:
    """The report as GitHub-flavoured Markdown: the facts, then every table."""
    margin = report.headline.leave_prompt_out
    modes = [cell(mode) for mode in report.headline.per_mode]
    lines = [
        f"# Safety Alignment Margin: {cell(report.title)}",
        "",
        *_verdict(report),
        f"{margin.n_prompts} prompts under {len(modes)} modes ({', '.join(modes)}). Intervals are "
        f"{report.study.settings.level:.0%} over prompts (infinitesimal jackknife, t). The margin to infer",
        "on is leave-prompt-out; plain is what scikit-learn computes, given to compare with, and has no",
        "valid interval.",
        "",
        *(f"- {_told(fact)}" for fact in report.facts()),
    ]
    for table in report.tables():
        lines += ["", *table_lines(table)]
    return "\n".join(lines) + "\n"


def _verdict(report: Report) -> Iterator[str]:
    """The verdict, line by line, and what it asks for."""
    found = report.verdict
    for line in found.lines:
        yield f"- **{line.mark}**: {cell(line.question)} {cell(line.sentence)}"
    yield from ("", cell(found.asked), "")


def cell(value: object) -> str:
    """Text from outside as it stands, on one line: nothing in it that Markdown, HTML or a terminal obeys."""
    return shown(value).translate(ESCAPED)


def _written(found: Cell) -> str:
    """A number as it stands, for nothing in it is from outside; text escaped."""
    return found.text.replace("*", "\\*") if found.numeric else cell(found.text)


def _told(fact: Fact) -> str:
    text = cell(fact)
    if not fact.sentence:
        text = text[:1].upper() + text[1:]
    return f"**{text}**" if fact.alarm else text


def table_lines(table: Table) -> Iterator[str]:
    """The lines of one table, below its title and note."""
    yield f"## {cell(table.title)}"
    yield ""
    if table.note:
        yield cell(table.note)
        yield ""
    yield "| " + " | ".join(cell(column.name) for column in table.columns) + " |"
    yield "|" + "".join("--:|" if column.numeric else ":--|" for column in table.columns)
    for row in table.rows[: table.brief]:
        yield "| " + " | ".join(_written(one) for one in row) + " |"
    if table.brief is not None and len(table.rows) > table.brief:
        yield ""
        yield f"The first {table.brief} of {len(table.rows)}; all of them are in report.json."
