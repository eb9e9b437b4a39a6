"""Figures drawn one by one, so that one that fails takes no other with it."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from margin.commands.session import BAD_INPUT, FAULT
from margin.errors import MarginError, words
from margin.extras import MissingExtraError
from margin.streams import say, tell


@dataclass
class Drawn:
    """What became of some figures."""

    written: list[Path] = field(default_factory=list)
    """Files, in the order they were written."""
    missing: list[str] = field(default_factory=list)
    """A line for each figure that the run holds too little for, or this install."""
    failed: list[str] = field(default_factory=list)
    """A line for each figure that the machine stood in the way of: its disk, its memory, its libraries."""
    faults: list[str] = field(default_factory=list)
    """A traceback for each figure that is a fault of ours."""

    def say(self) -> None:
        """Tell what was not drawn, and why."""
        for reason in (*self.missing, *self.failed):
            say(reason)
        for fault in self.faults:
            tell(f"margin: {fault}")

    def leave(self, all_wanted: bool = False) -> None:
        """End the program where a figure failed: by 70 for a fault of ours, else by 2.

        With `all_wanted` also where the run, or this install, holds too little for one.
        """
        if self.faults:
            sys.exit(FAULT)
        if self.failed or (all_wanted and self.missing):
            sys.exit(BAD_INPUT)


def draw_each(
    names: Iterable[str],
    save: Callable[[str], Iterable[Path]],
    before: Callable[[str], None] = lambda name: None,
) -> Drawn:
    """Draw and write figures by `save`, whatever becomes of the others.

    `before` is told of each before it is drawn.
    """
    drawn = Drawn()
    for name in names:
        before(name)
        try:
            drawn.written += save(name)
        except MissingExtraError as error:
            drawn.missing.append(f"{name} was not drawn: {error}")
        except (OSError, ImportError, MemoryError) as error:
            drawn.failed.append(f"{name} was not drawn: {words(error)}")
        except MarginError as error:
            drawn.missing.append(str(error))
        except Exception:  # noqa: BLE001 - the others are still drawn, and the command ends by 70
            drawn.faults.append(f"{name} was not drawn:\n{traceback.format_exc()}")
    return drawn
