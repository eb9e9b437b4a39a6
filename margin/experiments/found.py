"""Strings that opened a mode: keys, in memory alone, or in the one file that was asked for."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from margin.errors import MarginError
from margin.run.files import write_private


@dataclass(frozen=True)
class Found:
    """A string that opened a mode. Its repr does not show it."""

    part: str
    """"neighbourhood" or "search"."""
    mode: str
    kind: str
    string: str = field(repr=False)
    opened: float
    """Share of the prompts it was confirmed on that it opens."""


def claim(path: Path) -> None:
    """Make sure that keys can be written to a file, and leave it empty.

    MarginError where something stands there: it may be keys of an earlier search, which are nowhere else, or
    what this one reads.
    """
    if path.is_file() and path.stat().st_size:
        raise MarginError(f"{path} is there already, and may hold keys: write to another file")
    write_private(path, b"")


def keep_found(found: Iterable[Found], path: Path) -> None:
    """Write strings that open to one file, readable by its owner only, as JSON lines. UnwritableError."""
    lines = [json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in found]
    write_private(path, "".join(lines).encode())
