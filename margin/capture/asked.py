"""What a run asks, for an engine that is to run it: the token ids of every row, in memory only."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Unpack

from margin.arguments import named
from margin.capture.checkpoint import Checkpoint
from margin.capture.collect import checked
from margin.capture.prepare import checkpoint_for, proved_rows
from margin.capture.ranks import Ranks
from margin.errors import MarginError
from margin.inputs.modes import ModeSet
from margin.inputs.options import CaptureKeywords, CaptureOptions, takes_options
from margin.inputs.prompts import Prompts


@dataclass(frozen=True)
class AskedRow:
    """One prompt under one condition, as the model reads it."""

    prompt_id: str
    condition: str
    """Name of the mode or the control."""
    draw: int
    """Which of several draws of a control; 0 elsewhere."""
    ids: list[int] = field(repr=False)
    """Token ids up to where the answer begins. They spell out a live token: keep them from files and logs."""


@named
@takes_options
def asked_rows(
    model: str | Path | Checkpoint,
    *,
    prompts: Prompts,
    modes: str | Path | ModeSet,
    adapter: str | Path | None = None,
    **options: Unpack[CaptureKeywords],
) -> list[AskedRow]:
    """The rows that `margin.collect` would run, for another engine to run them and `import_states` to read.

    Every row is proved as `margin.collect` proves it. Nothing is written.

    Parameters
    ----------
    model, prompts, modes, adapter : as `margin.collect` has them.
    {options}

    Raises
    ------
    MarginError : bad input.

    Example
    -------
    >>> from margin.demo import checkpoint_path, modes_path, prompts_path
    >>> rows = asked_rows(
    ...     checkpoint_path("cotrained"), prompts=prompts_path(), modes=modes_path(), decoys=0, limit=20
    ... )
    >>> len(rows), rows[0].condition
    (60, 'pos')
    """
    asked = CaptureOptions(**options)
    inputs, _, ranks = checked(model, prompts, modes, None, adapter, Ranks(), asked)
    checkpoint = checkpoint_for(model, adapter, asked, ranks)
    _, _, rows, moment = proved_rows(checkpoint, inputs, asked)
    if moment is not None:
        raise MarginError("measure_after is for collecting: rows for another engine end where answers begin")
    return [AskedRow(inputs.prompts.ids[row.prompt], row.condition, row.draw, row.ids) for row in rows]
