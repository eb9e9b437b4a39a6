"""What was found of the tokens' secrecy, as a person reads it."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from margin.report.terminal import print_tables
from margin.study.secrecy_facts import secrecy_facts
from margin.study.secrecy_file import SecrecyRecord
from margin.study.secrecy_tables import secrecy_tables
from margin.text import shown


def print_secrecy(found: SecrecyRecord, console: Console) -> None:
    """Print the facts, then every table."""
    settings = found.settings
    console.print(
        Text.assemble(
            ("Secrecy of the tokens", "bold"),
            f"  {shown(found.model)}\n{settings.n_prompts} prompts, {settings.tried} tried first, others "
            f"confirmed on; {settings.level:.0%} intervals; the landing rule places "
            f"{found.rule_accuracy or 0:.1%} of live rows rightly\n",
        ),
        highlight=False,
    )
    for fact in secrecy_facts(found):
        console.print(Text(f"{'! ' if fact.alarm else '  '}{shown(fact)}"), highlight=False)
    console.print()
    print_tables((table for table in secrecy_tables(found) if table.rows), console)
