"""Prompts: what is asked under every mode, with ids and slice columns."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from margin.errors import MarginError
from margin.inputs.modes import is_unicode

Record = tuple[int, dict[str, Any]]


@dataclass(frozen=True, repr=False, eq=False)
class PromptSet:
    """Prompts of a run. Its repr shows no text."""

    table: pd.DataFrame
    """One row a prompt: id and prompt (text, unique), then the slice columns (text, or missing)."""
    source: str = "prompts"
    """Where they come from, as errors name it: a path, or "prompts"."""
    unit: str = "row"
    """What `lines` counts: "line", "row" or "item"."""
    lines: tuple[int, ...] = ()
    """Line (from 1) each prompt starts on in its source; empty where rows are counted instead."""

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        return f"PromptSet({self.source}: {len(self)} prompts, slices: {', '.join(self.slices) or 'none'})"

    @property
    def ids(self) -> list[str]:
        """Ids, in order."""
        return self.table["id"].tolist()

    @property
    def texts(self) -> list[str]:
        """Texts, in order."""
        return self.table["prompt"].tolist()

    @property
    def slices(self) -> pd.DataFrame:
        """The slice columns: one row a prompt, every column but id and prompt."""
        return self.table.drop(columns=["id", "prompt"])

    def limit(self, n: int) -> PromptSet:
        """The first n prompts (all where there are fewer)."""
        if n < 1:
            raise MarginError(f"a limit of {n} leaves no prompts: take at least 1")
        return PromptSet(self.table.head(n), self.source, self.unit, self.lines[:n])

    def where(self, index: int) -> str:
        """Place of prompt `index` (from 0), for errors: "prompts.csv, line 7 (id 12)"."""
        line = self.lines[index] if self.lines else index + 1
        return f"{self.source}, {self.unit} {line} (id {self.ids[index]})"


def load_prompts(source: str | Path | Sequence[str] | pd.DataFrame) -> PromptSet:
    """Read prompts from a .jsonl, .csv or .parquet file, a list of texts, or a table.

    Column `prompt` is the text, `id` (optional) its id, every other column a slice, kept as text. Without ids,
    prompts are numbered from 1. MarginError names file and line, and shows no text, where a prompt is empty,
    no text, or there twice (up to surrounding white space), an id is missing or there twice, or the file
    cannot be read.
    """
    if isinstance(source, pd.DataFrame):
        return _prompt_set(_table_records(source), "prompts", "row")
    if not isinstance(source, str | Path):
        return _prompt_set(((i, {"prompt": text}) for i, text in enumerate(source, 1)), "prompts", "item")
    path = Path(source)
    if path.suffix.lower() not in READERS:
        raise MarginError(f"{path}: prompts are read from {', '.join(READERS)} files")
    unit, reader = READERS[path.suffix.lower()]
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MarginError(f"{path}: {error.strerror}") from None
    return _prompt_set(reader(data, str(path)), str(path), unit)


def _jsonl_records(data: bytes, path: str) -> Iterator[Record]:
    # Not splitlines(): JSON strings may hold the other characters that it splits at.
    for line, text in enumerate(_decoded(data, path).split("\n"), 1):
        if not text.strip():
            continue
        try:
            record = json.loads(text)
        except json.JSONDecodeError as error:
            at = f"column {error.colno}: {error.msg}"
            raise MarginError(f"{path}, line {line}: no valid JSON at {at}") from None
        except (ValueError, RecursionError):
            raise MarginError(f"{path}, line {line}: no valid JSON") from None
        if not isinstance(record, dict):
            raise MarginError(f'{path}, line {line}: a line must be a JSON object, {{"prompt": "..."}}')
        yield line, record


def _csv_records(data: bytes, path: str) -> Iterator[Record]:
    reader = csv.reader(io.StringIO(_decoded(data, path), newline=""), strict=True)
    header: list[str] = []
    while True:
        # A quoted cell may hold line breaks, so a record starts after the last line read.
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise MarginError(f"{path}, line {line}: no valid CSV: {error}") from None
        if not cells:
            continue
        if not header:
            header = _csv_header(cells, f"{path}, line {line}")
        elif len(cells) != len(header):
            raise MarginError(f"{path}, line {line}: {len(cells)} cells, {len(header)} columns; quote commas")
        else:
            yield line, {name: cell or None for name, cell in zip(header, cells, strict=True)}


def _csv_header(cells: list[str], where: str) -> list[str]:
    # A file without a header has a prompt here, so no cell is shown.
    if "prompt" not in cells:
        raise MarginError(f"{where}: no column 'prompt'; the first line must name the columns")
    for number, name in enumerate(cells, 1):
        if not name.strip():
            raise MarginError(f"{where}: column {number} has no name")
        if cells.index(name) != number - 1:
            raise MarginError(f"{where}: columns {cells.index(name) + 1} and {number} have the same name")
    return cells


def _parquet_records(data: bytes, path: str) -> Iterator[Record]:
    try:
        table = pq.read_table(pa.BufferReader(data))
    except (pa.ArrowException, OSError):
        raise MarginError(f"{path}: no readable Parquet file") from None
    yield from enumerate(table.to_pylist(), 1)


def _table_records(table: pd.DataFrame) -> Iterator[Record]:
    yield from enumerate(({str(k): v for k, v in row.items()} for row in table.to_dict("records")), 1)


Reader = Callable[[bytes, str], Iterator[Record]]
READERS: dict[str, tuple[str, Reader]] = {
    ".jsonl": ("line", _jsonl_records),
    ".csv": ("line", _csv_records),
    ".parquet": ("row", _parquet_records),
}


def _decoded(data: bytes, path: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise MarginError(f"{path}, line {line}: not UTF-8 text; save the file as UTF-8") from None


def _prompt_set(records: Iterable[Record], source: str, unit: str) -> PromptSet:
    lines: list[int] = []
    rows: list[dict[str, Any]] = []
    line_of_id: dict[str, int] = {}
    line_of_text: dict[str, int] = {}
    for line, record in records:
        where = f"{source}, {unit} {line}"
        text = _prompt_text(record, where)
        identity = _label(record["id"], f"{where}: id") if "id" in record else str(len(rows) + 1)
        if not identity or not identity.isprintable():
            raise MarginError(f"{where}: the id is empty or holds a line break")
        for seen, key, what in ((line_of_id, identity, "id"), (line_of_text, text.strip(), "prompt")):
            if key in seen:
                raise MarginError(f"{where}: the same {what} as in {unit} {seen[key]}; keep one")
            seen[key] = line
        slices = {
            k: _label(v, f"{where}: column {k!r}") for k, v in record.items() if k not in ("id", "prompt")
        }
        rows.append({"id": identity, "prompt": text, **slices})
        lines.append(line)
    if not rows:
        raise MarginError(f"{source}: no prompts in it")
    return PromptSet(pd.DataFrame(rows), source, unit, tuple(lines))


def _prompt_text(record: dict[str, Any], where: str) -> str:
    if "prompt" not in record:
        raise MarginError(f"{where}: no column 'prompt'")
    text = record["prompt"]
    if text is None or (isinstance(text, str) and not text.strip()):
        raise MarginError(f"{where}: the prompt is empty")
    if not isinstance(text, str):
        raise MarginError(f"{where}: the prompt is no text")
    if not is_unicode(text):
        raise MarginError(f"{where}: the prompt holds half of a surrogate pair, which is no character")
    return text


def _label(value: object, where: str) -> str | None:
    """A slice value or id as text, alike from every format; None where it is missing."""
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, dict | list | tuple | set) or hasattr(value, "__array__"):
        raise MarginError(f"{where} holds a list or an object; a slice is one value")
    return str(value)
