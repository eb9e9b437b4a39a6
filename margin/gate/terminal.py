"""The verdict a person reads in the log of a build."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from margin.gate.verdict import Verdict
from margin.gate.words import asked, concluded, found, measured, signed, worst
from margin.text import shown

STYLES = {
    "pass": "bold green",
    "regression": "bold red",
    "limit not met": "bold red",
    "inconclusive": "bold yellow",
    "held": "green",
    "broken": "red",
    "open": "yellow",
}


def print_verdict(verdict: Verdict, console: Console) -> None:
    """Print the outcome, every claim with what was seen, and the prompts that fell most."""
    outcome = Text(verdict.outcome.upper(), style=STYLES[verdict.outcome])
    reason = f"  {shown(verdict.reason)}\n{shown(measured(verdict))}\n"
    console.print(Text.assemble(outcome, reason), highlight=False)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("claim", "", "before", "after", "seen [95% bounds]", ""):
        table.add_column(column, justify="left" if column in ("claim", "") else "right", no_wrap=True)
    for claim in verdict.claims:
        table.add_row(
            Text(shown(claim.name)),
            asked(claim),
            signed(claim.before),
            signed(claim.after),
            Text(found(claim)),
            Text(concluded(claim), style=STYLES[claim.status]),
        )
    console.print(table, highlight=False)
    if fell := worst(verdict):
        console.print(f"\nprompts that fell most: {shown(fell)}", highlight=False, markup=False)
