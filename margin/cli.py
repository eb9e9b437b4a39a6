"""The command `margin`: thin commands over the library.

Results go to stdout, progress and warnings to stderr.
"""

from __future__ import annotations

import click

from margin.commands.collect import collect
from margin.commands.compare import compare
from margin.commands.demo import demo
from margin.commands.export import export
from margin.commands.figures import figures
from margin.commands.gate import baseline, check
from margin.commands.importing import import_
from margin.commands.info import info
from margin.commands.judge import judge
from margin.commands.probe import probe
from margin.commands.relate import relate
from margin.commands.report import report
from margin.commands.secrecy import secrecy
from margin.commands.session import Commands
from margin.commands.sweep import sweep
from margin.commands.table import table
from margin.commands.trace import trace


@click.group(cls=Commands)
@click.version_option(package_name="safety-margin", prog_name="margin")
def main() -> None:
    """Measure the Safety Alignment Margin of a checkpoint."""


for command in (
    demo,
    collect,
    import_,
    info,
    probe,
    trace,
    judge,
    secrecy,
    report,
    figures,
    table,
    export,
    compare,
    sweep,
    relate,
    baseline,
    check,
):
    main.add_command(command)
