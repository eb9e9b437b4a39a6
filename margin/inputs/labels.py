"""Names that no mode may take, since they stand beside those of modes in tables, records and figures."""

from __future__ import annotations

import unicodedata

from margin.errors import MarginError

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
    bare = unicodedata.normalize("NFKC", name).casefold()
    if bare in _CONDITIONS:
        raise MarginError(f"mode name {name!r} is the name of a control condition: rename the mode")
    if bare in LABELS:
        raise MarginError(f"mode name {name!r} is what reports call something else: rename the mode")
