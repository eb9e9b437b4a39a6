"""The one way to read a file of the user's: UTF-8 with or without a byte-order mark, JSON (lines), TOML."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from margin.errors import MarginError


def require_no_dead_link(path: Path, then: str) -> None:
    """MarginError of a link that leads nowhere or to itself, which looks as if nothing were there; `then`
    says what to do beside removing it."""
    if path.is_symlink() and not path.exists():
        raise MarginError(f"{path} is a link that leads nowhere or to itself: remove it, or {then}")


def read_bytes(path: Path, what: str) -> bytes:
    """The bytes of a file. MarginError where it cannot be read; `what` says what it was to be ("prompt")."""
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or "no file can have that name"
        raise MarginError(f"cannot read the {what} file {path}: {reason}") from None


def read_text(path: Path, what: str) -> str:
    """The text of a file, without a byte-order mark.

    Raises
    ------
    MarginError : a file that cannot be read, or that is not UTF-8; `what` says what it was to be.
    """
    return decoded(read_bytes(path, what), path, what)


def decoded(data: bytes, path: Path, what: str) -> str:
    """The bytes of a file as text, as `read_text` has them."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise MarginError(f"{path} line {line} is not UTF-8 text: save the {what} file as UTF-8") from None


def parse_json(text: str, place: str, *, once: bool = False) -> Any:
    """What a JSON text says. MarginError where it is none that can be read, at `place`. Shows no text.

    With `once` also where an object has a key twice, of which JSON keeps the last.
    """

    def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise MarginError(f"{place} has the same key twice: keep one")
        return found

    try:
        return json.loads(text, object_pairs_hook=object_of if once else None)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} " if error.lineno > 1 else ""
        what = error.msg.removesuffix(" at")  # as in "Unterminated string starting at"
        raise MarginError(f"{place} is not JSON: {what} at {where}column {error.colno}") from None
    except (ValueError, RecursionError) as error:
        raise MarginError(f"{place} is not JSON that can be read: {_beyond(error)}") from None


def parse_toml(text: str, place: str) -> dict[str, Any]:
    """What a TOML text says. MarginError where it is none that can be read, at `place`. Shows no text."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # Only the place is kept of the parser's words: the rest may quote the file, which may hold tokens.
        found = re.search(r"\(at (?:line (\d+)|end of document)", str(error))
        line = int(found[1]) if found and found[1] else 0
        where = f" at line {line}" if line else " at end of document" if found else ""
        unquoted = line and re.match(r"""\s*\[[^"']*@""", text.split("\n")[line - 1])
        hint = ' (a name with @ takes quotes: [modes."pos@en"])' if unquoted else ""
        raise MarginError(f"{place} is not valid TOML{where}{hint}") from None
    except (ValueError, RecursionError) as error:
        raise MarginError(f"{place} is not valid TOML that can be read: {_beyond(error)}") from None


def _beyond(error: ValueError | RecursionError) -> str:
    """What a parser gives up on, though it is written by the rules."""
    if isinstance(error, RecursionError):
        return "its brackets are nested too deeply, write it flatter"
    return "it holds a number of thousands of digits, shorten it"


def jsonl_records(text: str, name: str, example: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The place ("NAME line 3") and the object of every line that is not blank.

    A line ends at a line feed only: JSON strings may hold every other separator.

    Raises
    ------
    MarginError : a line that is not JSON or no object, or one that says the same key twice; `example` is one
        that would do. Shows no line.
    """
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        place = f"{name} line {number}"
        record = parse_json(line, place, once=True)
        if not isinstance(record, dict):
            raise MarginError(f"{place} is not a JSON object: write {example}")
        yield place, record
