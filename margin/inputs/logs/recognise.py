"""Which tool wrote a file: told by what is in it, not by its name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from margin.errors import MarginError
from margin.inputs.logs import garak, inspect, lm_eval, promptfoo
from margin.inputs.logs.entry import Log
from margin.inputs.reading import decoded, jsonl_records, parse_json, read_bytes
from margin.inputs.tables import SUFFIXES

TOOLS = (inspect.TOOL, lm_eval.TOOL, garak.TOOL, promptfoo.TOOL)
"""The tools whose logs are known."""
WHAT = "labels"

Line = tuple[str, Mapping[str, Any]]
"""Place and object of a line."""


def read_log(path: Path) -> Log | None:
    """The log of an evaluation tool in a file; None for a file that is none, such as a table of labels.

    Raises
    ------
    MarginError : a file that cannot be read, JSON that is no such log, a damaged log; by sample or line: what
        is not as its tool writes it. Shows no text of the log.
    """
    if not path.is_file():  # a stream, which can be read once only
        return None
    data, name = read_bytes(path, WHAT), str(path)
    if data.startswith(inspect.ARCHIVE):
        return inspect.read_archive(data, name)
    if not data.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
        return None
    text = decoded(data, path, WHAT)
    first = _object(text.lstrip().partition("\n")[0])
    if first is not None and (read := _reader_of_lines(first)) is not None:
        return read(jsonl_records(text, name, "what its tool has written"))
    tabular = path.suffix.lower() in SUFFIXES
    try:
        record = parse_json(text, name)
    except MarginError:
        if tabular:  # several lines, or one that its own reader names
            return None
        raise
    if inspect.is_log(record):
        return inspect.read_object(record, name)
    if promptfoo.is_log(record):
        return promptfoo.read_object(record, name)
    if {"results", "configs"} <= set(record):
        raise MarginError(
            f"{name} holds results of {lm_eval.TOOL} over all samples: give its samples_*.jsonl"
        )
    if tabular:
        return None
    raise MarginError(f"{name} is JSON, but no log that is known: {', '.join(TOOLS)}")


def _reader_of_lines(first: Mapping[str, Any]) -> Callable[[Iterable[Line]], Log] | None:
    """What reads a file whose first line is this object; None where no tool writes such lines."""
    if garak.is_log(first):
        return garak.read
    if lm_eval.is_log(first):
        return lm_eval.read
    return promptfoo.read if promptfoo.is_line(first) else None


def _object(line: str) -> Mapping[str, Any] | None:
    try:
        record = parse_json(line, "line 1")
    except MarginError:  # of an object over several lines
        return None
    return record if isinstance(record, dict) else None
