"""`margin export`: what of a run can be handed on, without torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from margin.commands.report import CLUSTER
from margin.commands.session import PLACE, QUIET
from margin.errors import MarginError

if TYPE_CHECKING:
    from margin.figures.projection import Method

RECORDS = {
    "inspect": "A log of Inspect: margins with their intervals, no samples.",
    "every-eval-ever": "A record of Every Eval Ever, schema 0.3.0.",
    "model-index": "The model-index of a Hugging Face model card, YAML.",
}
"""Options that add a file, as `margin.report.exports.records` has them."""


def _records(command: Callable[..., None]) -> Callable[..., None]:
    for name, text in reversed(RECORDS.items()):
        command = click.option(f"--{name}", is_flag=True, help=text)(command)
    return command


@click.command(short_help="What of a run can be handed on.")
@click.argument("run", type=PLACE)
@click.option("--out", required=True, type=PLACE, help="A new folder.")
@CLUSTER
@click.option("--shareable", is_flag=True, help="Only numbers over prompts, nothing of a single one.")
@_records
@click.option(
    "--points",
    type=click.Choice(["pca", "lda", "tsne", "umap"]),
    help="Parquet of the points projected so, for Embedding Atlas and the like. As secret as the tokens.",
)
@click.option("--text", is_flag=True, help="Of --points: with the prompts' text.")
@QUIET
def export(
    run: Path,
    out: Path,
    cluster: str | None,
    shareable: bool,
    points: Method | None,
    text: bool,
    quiet: bool,
    **records: bool,
) -> None:
    """Write the least of RUN that can be handed on: its report as JSON and Markdown, numbers over prompts
    only, and the figures that draw no single prompt; and the same numbers as other tools take them.

    A run itself is as secret as the tokens, see SECURITY.md; so are points that say which prompt's they are.
    """
    from margin.report.analyse import analyse
    from margin.report.exports.points import write_points
    from margin.report.exports.records import write_records
    from margin.report.share import require_apart, require_new, write_shareable
    from margin.run.run import open_run
    from margin.streams import written

    kinds = [name for name in RECORDS if records[name.replace("-", "_")]]
    if not (shareable or kinds or points):
        ways = ", ".join(f"--{name}" for name in ("shareable", *RECORDS, "points"))
        raise MarginError(
            f"say what to write ({ways}): all of a run is as secret as its tokens, see SECURITY.md"
        )
    if points and (shareable or kinds):
        raise MarginError("--points are as secret as the tokens: write them to a folder of their own")
    if text and not points:
        raise MarginError("--text is of --points: numbers over prompts have none")
    report = analyse(open_run(run), cluster=cluster)
    if not points:
        require_apart(out, run)
    require_new(out)
    files = write_shareable(report, out) if shareable else []
    files += write_records(report, kinds, out) if kinds else []
    files += [write_points(report, points, out, text=text)] if points else []
    if not quiet:
        written(files)
