"""Text files of the user's: UTF-8, and JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from margin.errors import MarginError


def read_text(path: Path, what: str) -> str:
    """The text of a file, without a byte-order mark.

    Raises
    ------
    MarginError : a file that cannot be read, or that is not UTF-8; `what` says what it was to be.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MarginError(f"cannot read the {what} file {path}: {error.strerror}") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise MarginError(f"{path} line {line} is not UTF-8 text: save the {what} file as UTF-8") from None


def jsonl_records(text: str, name: str, example: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The place ("NAME line 3") and the object of every line that is not blank.

    Raises
    ------
    MarginError : a line that is not JSON or no object; `example` is one that would do. Shows no line.
    """
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        place = f"{name} line {number}"
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise MarginError(f"{place} is not JSON: {error.msg} at column {error.colno}") from None
        except (ValueError, RecursionError):  # a number of thousands of digits, thousands of brackets
            raise MarginError(f"{place} is not JSON that can be read") from None
        if not isinstance(record, dict):
            raise MarginError(f"{place} is not a JSON object: write {example}")
        yield place, record
