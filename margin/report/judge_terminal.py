"""What a judge found in the answers, as a person reads it in ten seconds."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Console
from rich.text import Text

from margin.analysis.behaviour.findings import Behaviour as Findings
from margin.analysis.behaviour.findings import Quantity
from margin.report.grid import Grid
from margin.report.terminal import print_tables
from margin.study.notation import interval, number
from margin.study.sections.audit import AuditSection
from margin.study.sections.behaviour import Behaviour
from margin.study.table import Table
from margin.text import shown

SCORES: tuple[Quantity, ...] = ("constructive_safety", "cosa")
BRIEF = 5
"""Rows in dispute that are shown, unless their text is asked for."""


def print_judgement(found: Findings, model: str, console: Console, text: bool = False) -> None:
    """Print whether each mode answered as expected, the facts, what came under each condition, and rows on
    which geometry and judge differ."""
    console.print(Text.assemble(("What was answered", "bold"), f"  {shown(model)}"), highlight=False)
    console.print(Text(shown(f"judge: {found.judge}")), highlight=False)
    section = Behaviour(found)
    sections = [section] if found.audit is None else [section, AuditSection(found.audit)]
    if (asked := _as_expected(found)).rows:
        console.print()
        console.print(asked, highlight=False)
    for each in sections:
        for fact in each.facts():
            console.print(Text(shown(fact), style="bold" if fact.alarm else ""), highlight=False)
    console.print()
    console.print(_by_condition(found), highlight=False)
    console.print(
        "prompts any of whose draws got the label; * is indicative only; every interval: margin table RUN\n",
        style="dim",
        highlight=False,
    )
    scored = any(found.select(quantity) for quantity in SCORES)
    known = ("behaviour",) if scored else ("behaviour", "agreement")
    others = [table for each in sections for table in each.tables() if table.key not in known]
    print_tables((_brief(table, text) for table in others if table.rows), console)


def _as_expected(found: Findings) -> Grid:
    """Of each mode, how many prompts got the label expected of it; the worst first."""
    grid = Grid([("mode", False), ("expected", False), ("came", True)])
    lines = [
        one
        for one in found.select("observed")
        if one.kind == "mode" and found.expected.get(one.condition) == one.label
    ]
    for one in sorted(lines, key=lambda one: one.value.estimate):
        bounds = interval(one.value.low, one.value.high, signed=False)
        grid.add(*(shown(one.condition), shown(one.label)), f"{one.count} of {one.value.n_prompts} {bounds}")
    return grid


def _by_condition(found: Findings) -> Grid:
    """Prompts by condition and label, and the share on which geometry and judge agree."""
    counts = found.matrix()
    agreed = {one.condition: one for one in found.select("agreement")}
    heads = [("condition", False), *((shown(label), True) for label in counts)]
    grid = Grid([*heads, *[("agree with geometry", True)] * bool(agreed)])
    for condition, line in counts.iterrows():
        cells = [number(n, signed=False) if n != n else f"{n:.0f}" for n in line]
        if agreed:
            one = agreed.get(str(condition))
            cells.append(
                "–"
                if one is None
                else f"{number(one.value.estimate, signed=False)}{'*' if one.indicative else ''}"
            )
        grid.add(shown(condition), *cells)
    return grid


def _brief(table: Table, text: bool) -> Table:
    return table if text or table.brief is None else replace(table, brief=BRIEF)
