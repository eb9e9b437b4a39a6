"""Names that no mode may take, since they stand beside those of modes in tables, records and figures."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from itertools import combinations

from margin.errors import MarginError
from margin.inputs.spellings import marked, seen

LABELS = frozenset(
    {
        *("decoy", "mode", "modes"),  # other kinds of conditions, and all modes together
        "outside",  # where a row lands that lands in no mode
        *("all", "mean", "overall", "min-margin", "plain", "leave_prompt_out", "prompt_centred"),  # margins
        *("condition", "column", "slice", "prompts", "fallback", "leak"),  # columns beside those of modes
        *("expected", "rows", "otherwise"),
    }
)
"""What reports call something else."""

_CONDITIONS: set[str] = set()


def reserve(condition: str) -> None:
    """Keep the name of a control condition from modes; called once for each by `margin.inputs.conditions`."""
    _CONDITIONS.add(condition)


def check_mode_name(name: str) -> None:
    """MarginError where a mode is called, in any spelling, what could not be told from something else."""
    if unicodedata.normalize("NFKC", name).casefold() in _CONDITIONS:
        raise MarginError(f"mode name {name!r} is the name of a control condition: rename the mode")
    check_label(name)


def check_label(name: str) -> None:
    """MarginError where a mode is called, in any spelling, what reports call something else."""
    if unicodedata.normalize("NFKC", name).casefold() in LABELS:
        raise MarginError(f"mode name {name!r} is what reports call something else: rename the mode")


def check_alike(names: Iterable[str]) -> None:
    """MarginError where two modes are called what no eye tells apart: a Latin letter in one, its Cyrillic
    double in the other. Names that differ in case are told apart."""
    for one, other in combinations(names, 2):
        if seen(one) == seen(other) and one.casefold() != other.casefold():
            raise MarginError(
                f"modes {marked(one)!r} and {marked(other)!r} look alike, but are written with letters of "
                "different alphabets: rename one"
            )
