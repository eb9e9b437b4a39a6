"""Which rows are measured where not all came so far: of prompts that are complete in what compares them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from margin.inputs.conditions import condition_of
from margin.inputs.conversation import without_mode
from margin.inputs.rows import Row


def complete_cases(rows: Sequence[Row], ended: Collection[int]) -> list[int]:
    """Places of the rows that are measured, of those at the places that `ended`.

    A prompt of which a row under a mode did not is left out altogether, one of which a row under a control
    did not of that control.
    """
    broken = {(row.prompt, _group(row)) for place, row in enumerate(rows) if place not in ended}
    complete = [
        place
        for place, row in enumerate(rows)
        if broken.isdisjoint({(row.prompt, "mode"), (row.prompt, _group(row))})
    ]
    decoys = {rows[place].prompt for place in complete if rows[place].kind == "decoy"}
    # One prompt has no margin.
    return [place for place in complete if rows[place].kind != "decoy" or len(decoys) > 1]


def _group(row: Row) -> str:
    """What a prompt stands in as a whole, or not at all: it is compared with itself there."""
    if row.kind in ("mode", "decoy"):
        return row.kind
    if row.mode is not None and condition_of(row.kind).crossed:
        return without_mode(row.condition, row.mode)
    return row.condition
