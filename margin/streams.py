"""What this program says: results on stdout, the rest on stderr, and no text from outside as it stands.

Everything the commands print goes through here or through `margin.console`. A reader that has heard enough
(`| head -1`) ends the talk, not the work: the command goes on, and ends with the code it would have ended
with.
"""

from __future__ import annotations

import codecs
import logging
import os
import shutil
import sys
import textwrap
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from margin.errors import UnwritableError
from margin.text import ascii_json, printed, shown

LOG_WIDTH = 120
"""Columns where nothing has a width: in a file, a pipe, the log of a build."""
_PLAIN = {"–": "-", "−": "-", "≥": ">=", "≤": "<=", "…": "...", "×": "x", "²": "^2", "✓": "+", "✗": "x"}
"""Signs of our own, for a terminal that has not got them."""


def show(text: object) -> None:
    """Print text of one or more lines on stdout. UnwritableError where it cannot be written."""
    _write(sys.stdout, f"{printed(str(text))}\n", "standard output")


def show_json(text: str) -> None:
    r"""Print JSON on stdout; what its encoding has not got, and marks of CI commands, become \uXXXX."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        text = "".join(c if c.isascii() else ascii_json(c) for c in text)
    # Lines of JSON begin with no colon; inside a string a number sign may be escaped.
    text = text.replace("##[", r"\u0023#[").replace("##vso[", r"\u0023#vso[")
    _write(sys.stdout, f"{text.rstrip()}\n", "standard output")


def say(text: object) -> None:
    """Print one line on stderr, `margin: text`."""
    tell(f"margin: {shown(text)}")


def tell(text: object) -> None:
    """Print text of one or more lines on stderr."""
    _write(sys.stderr, f"{printed(str(text))}\n", "standard error")


def written(paths: Iterable[Path]) -> None:
    """Say on stderr which files were written, those of one folder after its name."""
    files = [Path(path) for path in paths]
    alike = len(files) > 1 and len({file.is_absolute() for file in files}) == 1
    folder = Path(os.path.commonpath([file.parent for file in files])) if alike else Path()
    named = [os.path.relpath(file, folder) if file.is_relative_to(folder) else str(file) for file in files]
    where = f" in {folder}" if folder.name else ""
    tell(f"\n{folded(shown(f'written{where}: ' + ', '.join(named)))}")


def folded(text: str, indent: int = 0) -> str:
    """A line as several of the terminal's width, those after the first set in; no word, and so no path, is
    broken.
    """
    width = shutil.get_terminal_size((LOG_WIDTH, 24)).columns
    lines = textwrap.wrap(
        text,
        max(width, indent + 1),
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines)


def hush(stream: IO[str] | None) -> None:
    """Send what else is written to a stream nowhere: nobody reads it any more."""
    if stream is None:
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, stream.fileno())
    finally:
        os.close(nowhere)


def prepare() -> None:
    """Make the streams of this process fit for what will be said; for the command line alone.

    Closed ones lead nowhere, so that no file is opened in their place. Characters that an encoding has not
    got are replaced. What libraries log and warn of shows nothing that a terminal obeys.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    # Python has none for those that were closed when it began; libraries ask them whether they are terminals.
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)
    codecs.register_error("margin", _replaced)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="margin")
    make, form = logging.getLogRecordFactory(), warnings.formatwarning

    def record(*arguments: Any, **more: Any) -> logging.LogRecord:
        made = make(*arguments, **more)
        made.msg, made.args = printed(made.getMessage()), ()
        return made

    logging.setLogRecordFactory(record)
    warnings.formatwarning = lambda *arguments, **more: printed(form(*arguments, **more))


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    return "".join(_PLAIN.get(character, "?") for character in lost), error.end


def _write(stream: IO[str] | None, text: str, name: str) -> None:
    if stream is None:
        return
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        hush(stream)
    except OSError as error:
        hush(stream)
        raise UnwritableError(f"cannot write to {name}: {error.strerror}") from error
