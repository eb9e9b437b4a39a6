"""`margin export`: what of a run can be handed on, without torch."""

from __future__ import annotations

from pathlib import Path

import click

from margin.commands.report import CLUSTER
from margin.commands.session import PLACE, QUIET
from margin.errors import MarginError


@click.command(short_help="What of a run can be handed on.")
@click.argument("run", type=PLACE)
@click.option("--out", required=True, type=PLACE, help="A new folder.")
@CLUSTER
@click.option("--shareable", is_flag=True, help="Only numbers over prompts, nothing of a single one.")
@QUIET
def export(run: Path, out: Path, cluster: str | None, shareable: bool, quiet: bool) -> None:
    """Write the least of RUN that can be handed on: its report as JSON and Markdown, numbers over prompts
    only, and the figures that draw no single prompt.

    A run itself is as secret as the tokens, see SECURITY.md.
    """
    from margin.report.analyse import analyse
    from margin.report.share import write_shareable
    from margin.run.run import open_run
    from margin.streams import written

    if not shareable:
        raise MarginError("say --shareable: all of a run is as secret as its tokens, see SECURITY.md")
    files = write_shareable(analyse(open_run(run), cluster=cluster), out)
    if not quiet:
        written(files)
