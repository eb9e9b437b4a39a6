"""The behaviour of a run in words and tables, for the terminal and for Markdown."""

from __future__ import annotations

from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from margin.analysis.behaviour.findings import Behaviour, Observation
from margin.study.notation import interval, number
from margin.text import shown

SHOWN = 20
"""Disagreements shown where there is no room for all; report.json lists every one."""
NAMES = {
    "agreement": "geometry and judge agree",
    "kappa": "Cohen's kappa",
    "constructive_safety": "constructive safety",
    "cosa": "CoSA",
}

SIGNED = ("kappa", "cosa")
"""What may be below 0."""


def expectations(found: Behaviour) -> str:
    """What the judge should say under each mode, in a line; empty where that is not known."""
    return ", ".join(f"{mode}: {label}" for mode, label in found.expected.items())


def matrix_lines(found: Behaviour) -> tuple[list[str], list[list[str]]]:
    """Labels, and one line a condition: its name and, by label, prompts with their exact interval."""
    observed = found.select("observed")
    labels = list(dict.fromkeys(str(one.label) for one in observed))
    lines: dict[str, list[str]] = {}
    for one in observed:
        lines.setdefault(one.condition, [one.condition]).append(prompts(one))
    return labels, list(lines.values())


def prompts(found: Observation) -> str:
    """Prompts counted, with the exact interval of their share."""
    bounds = interval(found.value.low, found.value.high, signed=False)
    return f"{found.count} of {found.value.n_prompts} {bounds}"


def number_lines(found: Behaviour) -> tuple[list[str], list[list[str]]]:
    """Names of the scores and agreements, and one line a condition: its name and their estimates."""
    known = [quantity for quantity in NAMES if any(one.quantity == quantity for one in found.observations)]
    lines: dict[str, dict[str, str]] = {}
    for one in found.observations:
        if one.quantity in NAMES:
            signed = one.quantity in SIGNED
            value = number(one.value.estimate, signed=signed)
            bounds = interval(one.value.low, one.value.high, signed=signed)
            mark = "*" if one.indicative else ""
            lines.setdefault(one.condition, {})[one.quantity] = f"{value}{mark} {bounds}".rstrip(" –")
    return [NAMES[quantity] for quantity in known], [
        [condition, *(line.get(quantity, "–") for quantity in known)] for condition, line in lines.items()
    ]


def disagreement_lines(found: Behaviour) -> tuple[list[str], list[list[str]]]:
    """Columns of the disagreements, and the first `SHOWN` of them as text."""
    listed: pd.DataFrame = found.disagreements.drop(columns="row").head(SHOWN)
    names = [str(name).replace("_", " ") for name in listed]
    return names, [[_plain(value) for value in line] for line in listed.itertuples(index=False)]


def print_behaviour(found: Behaviour, console: Console) -> None:
    """Print requested against observed, scores, agreement, and where geometry and judge differ."""
    console.print(Text.assemble(("Requested and observed", "bold"), f"  judge: {shown(found.judge)}"))
    if found.expected:
        console.print(f"expected: {shown(expectations(found))}", style="dim", highlight=False, markup=False)
    labels, lines = matrix_lines(found)
    _print_table(["requested", *labels], lines, console)
    if max(one.draws for one in found.observations) > 1:
        console.print("prompts any of whose draws got the label", style="dim", highlight=False, markup=False)
    names, lines = number_lines(found)
    if lines:
        console.print()
        _print_table(["condition", *names], lines, console)
        if any(one.indicative for one in found.observations):
            note = "* indicative: the geometry places under 0.9 of the points of known mode rightly"
            console.print(note, style="dim", highlight=False, markup=False)
    if total := len(found.disagreements):
        rest = f", the first {SHOWN}" if total > SHOWN else ""
        console.print(f"\n{total} disagreements of geometry and judge{rest}", style="bold", highlight=False)
        columns, lines = disagreement_lines(found)
        _print_table(columns, lines, console)


def _print_table(columns: list[str], lines: list[list[str]], console: Console) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(Text(shown(column)))
    for line in lines:
        table.add_row(*(Text(shown(value)) for value in line))
    console.print(table, highlight=False)


def _plain(value: Any) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
