"""Strings that opened a mode: keys, in memory alone, or in the one file that was asked for."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

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


def keep_found(found: Iterable[Found], path: Path) -> None:
    """Write strings that open to one file, readable by its owner only, as JSON lines. UnwritableError."""
    lines = [json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in found]
    write_private(path, "".join(lines).encode())
