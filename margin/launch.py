"""Which of the processes of a launch (torchrun, accelerate launch) this one is; needs neither library."""

from __future__ import annotations

import os

from margin.errors import MarginError
from margin.text import brief


def launched() -> tuple[int, int]:
    """This process's number and how many were launched, read from the environment: (0, 1) alone.

    MarginError where the environment says neither.
    """
    count = _number("WORLD_SIZE", 1)
    return (_number("RANK", 0), count) if count > 1 else (0, 1)


def require_alone(what: str) -> None:
    """MarginError, which says what, where this process is one of several: each would do the whole work."""
    if (count := launched()[1]) > 1:
        raise MarginError(
            f"{what} runs in one process, and {count} were launched: start it without torchrun; margin "
            "collect takes several"
        )


def _number(name: str, alone: int) -> int:
    given = os.environ.get(name) or str(alone)
    if not (given.isascii() and given.isdecimal() and len(given) < 10):
        raise MarginError(f"{name} is {brief(given, 40)!r}, a launcher sets it to a number: unset it")
    return int(given)
