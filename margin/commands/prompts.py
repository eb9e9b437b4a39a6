"""Where a command takes its prompts from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from margin.commands.session import PLACE, Session
from margin.streams import say

if TYPE_CHECKING:
    from margin.inputs.prompts import PromptSet

PROMPTS = (
    click.option(
        "--prompts",
        required=True,
        type=PLACE,
        help="JSON lines, CSV or Parquet, or a Hugging Face data set: its folder, or its id on the hub.",
    ),
    click.option("--column", metavar="NAME", help="Column that holds the prompts, where it is not prompt."),
    click.option("--split", metavar="NAME", help="Of a data set: which split."),
)
"""Where the prompts are."""


def asked_prompts(
    session: Session, prompts: Path, column: str | None, split: str | None, quiet: bool
) -> PromptSet:
    """The prompts that the options of `PROMPTS` mean, after saying which those of a data set are."""
    from margin.inputs.prompts import load_prompts

    found = load_prompts(prompts, column=column, split=split)
    if found.said and not quiet:
        say(session.redact(found.said))
    return found
