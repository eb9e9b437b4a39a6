"""The console that tables and progress are printed on."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from margin.errors import UnwritableError
from margin.streams import LOG_WIDTH, hush
from margin.text import printed


class PlainConsole(Console):
    """A console on which text is text: no markup in it is obeyed, and no control character gets through.

    As wide as the terminal or as COLUMNS says, else `LOG_WIDTH`. A reader that has gone (`| head -1`) ends
    the talk and not the program.
    """

    def __init__(self, *, stderr: bool = False, **settings: Any) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False, **settings)
        if not (self.is_terminal or "width" in settings or "COLUMNS" in os.environ):
            self.width = LOG_WIDTH

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What is to be shown, piece by piece; the console's own control codes pass."""
        begun = False
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
                continue
            yield Segment(printed(segment.text, begun=begun), segment.style)
            line = segment.text.rpartition("\n")
            begun = bool(line[2].strip()) or (begun and not line[1])

    def print(self, *objects: Any, **settings: Any) -> None:
        """Print; UnwritableError where that is not possible."""
        try:
            super().print(*objects, **settings)
        except OSError as error:
            hush(self.file)
            name = "error" if self.stderr else "output"
            raise UnwritableError(f"cannot write to standard {name}: {error.strerror}") from error

    def on_broken_pipe(self) -> None:
        """Say nothing any more."""
        self.quiet = True
        hush(self.file)
