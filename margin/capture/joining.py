"""Which line of a dump is which row of the run: by names, or by token ids."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence

from margin.capture.dumps.dump import Dump, Name
from margin.errors import MarginError
from margin.inputs.prompts import PromptSet
from margin.inputs.rows import Row
from margin.text import counted, shown

SHOWN = 3
"""Rows that an error names at most."""


def join(dump: Dump, rows: Sequence[Row], prompts: PromptSet) -> tuple[list[int], int]:
    """The line of the dump that each row is, and how many lines are no row of the run.

    Rows with the same token ids are one and the same to a dump that knows rows by these.

    Raises
    ------
    MarginError : names rows that the dump lacks or has twice, and lines that are no row, by prompt, condition
        and place: never a token id.
    """
    by_name = bool(dump.keys) and isinstance(dump.keys[0], Name)
    names = [Name(prompts.ids[row.prompt], row.condition, row.draw) for row in rows]
    asked: list[Hashable] = list(names) if by_name else [tuple(row.ids) for row in rows]
    lines: dict[Hashable, list[int]] = defaultdict(list)
    for line, key in enumerate(dump.keys):
        lines[key].append(line)
    known = set(asked)
    missing = [place for place, key in enumerate(asked) if key not in lines]
    double = [key for key in dict.fromkeys(asked) if len(lines.get(key, ())) > 1]
    unknown = [line for key, its in lines.items() if key not in known for line in its]
    faults = []
    if missing:
        of = _some([_of(names[place]) for place in missing])
        faults.append(f"it lacks {len(missing)} of {counted(len(rows), 'row')}, {of}{_hint(rows, missing)}")
    if double:
        twice = _some([_of(names[asked.index(key)]) for key in double])
        faults.append(f"it has {counted(len(double), 'row')} more than once, {twice}")
    if faults and unknown:
        where = _some([dump.places[line] for line in unknown])
        faults.append(f"it has {counted(len(unknown), 'row')} of no prompt and condition here, {where}")
    if faults:
        raise MarginError(f"{dump.path} does not hold the rows of this run: {'; '.join(faults)}")
    return [lines[key][0] for key in asked], len(unknown)


def _of(name: Name) -> str:
    draw = f" draw {name.draw}" if name.draw else ""
    return f"{name.prompt_id} ({name.condition}{draw})"


def _some(names: Sequence[str]) -> str:
    more = [f"and {len(names) - SHOWN} more"] if len(names) > SHOWN else []
    return shown(", ".join([*names[:SHOWN], *more]))


def _hint(rows: Sequence[Row], missing: Sequence[int]) -> str:
    """What to do where all that is missing are decoys, which are asked unless one says otherwise."""
    kinds = {rows[place].kind for place in missing}
    return " (--decoys 0 asks for no decoys)" if kinds == {"decoy"} else ""
