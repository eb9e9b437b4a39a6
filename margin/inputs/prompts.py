"""Prompt sets from files, lists and tables, with every bad line named."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from margin.errors import MarginError
from margin.inputs.reading import jsonl_records, read_text

Record = tuple[str, Mapping[str, Any]]
"""Where a prompt comes from ("prompts.csv line 7") and its fields."""
EXAMPLE = '{"prompt": ...}'


@dataclass(frozen=True, eq=False)
class PromptSet:
    """Prompts with unique ids and texts, and the columns to slice them by.

    Its repr and its errors show ids and lines, never the text.
    """

    table: pd.DataFrame = field(repr=False)
    """(n, 2 + slices) strings: id, prompt, then the slice columns, where a missing value is None."""
    places: tuple[str, ...] = field(default=(), repr=False)
    """n places of origin, such as "prompts.csv line 7"; may be left out."""

    def __len__(self) -> int:
        return len(self.table)

    @property
    def ids(self) -> list[str]:
        """n unique ids."""
        return self.table["id"].tolist()

    @property
    def texts(self) -> list[str]:
        """n prompts."""
        return self.table["prompt"].tolist()

    @property
    def slices(self) -> list[str]:
        """Names of the slice columns."""
        return [column for column in self.table.columns if column not in ("id", "prompt")]

    def origin(self, index: int) -> str:
        """Where the prompt at a position comes from: its line, or its row where that is not known."""
        return self.places[index] if self.places else f"row {index + 1}"

    def place(self, index: int) -> str:
        """What an error calls the prompt at a position: its id and its line."""
        return f"prompt {self.table['id'].iloc[index]!r} ({self.origin(index)})"

    def limit(self, n: int) -> PromptSet:
        """The first n prompts, or all where there are fewer. MarginError where n < 1."""
        if n < 1:
            raise MarginError(f"a limit of {n} prompts leaves none: take at least 1")
        return PromptSet(self.table.head(n), self.places[:n])

    def __repr__(self) -> str:
        return f"PromptSet({len(self)} prompts, slices: {', '.join(self.slices) or 'none'})"


def load_prompts(source: str | Path | Sequence[str] | pd.DataFrame) -> PromptSet:
    """Prompts from a .jsonl, .csv or .parquet file, a list of texts, or a table.

    Column `prompt` is the text and `id`, where there is one, its unique id (else the position, from 1). All
    other columns are kept as slice columns; slice values are labels and become strings.

    Raises
    ------
    MarginError : a file that cannot be read, another encoding than UTF-8, no column `prompt`, no prompts; by
        line: bad JSON, a torn CSV line, an empty prompt, an id or a text that stood before. Shows no prompt.
    """
    if isinstance(source, str | Path):
        path = Path(source)
        return _collect(_read(path), str(path))
    if isinstance(source, pd.DataFrame):
        rows = source.itertuples(index=False, name=None)
        return _collect(_table_records(list(source.columns), rows, "the table"), "the table")
    return _collect(
        ((f"item {n}", {"prompt": text}) for n, text in enumerate(source, 1)), "the list of prompts"
    )


def _read(path: Path) -> Iterable[Record]:
    try:
        match path.suffix.lower():
            case ".jsonl" | ".ndjson":
                return jsonl_records(read_text(path, "prompt"), str(path), EXAMPLE)
            case ".csv":
                return _csv_records(read_text(path, "prompt"), str(path))
            case ".parquet":
                return _parquet_records(path.read_bytes(), str(path))
    except OSError as error:
        raise MarginError(f"cannot read the prompt file {path}: {error.strerror}") from None
    raise MarginError(f"unknown kind of prompt file {path}: use .jsonl, .csv or .parquet")


def _csv_records(text: str, name: str) -> Iterator[Record]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    while True:
        place = f"{name} line {reader.line_num + 1}"
        try:
            values = next(reader, None)
        except csv.Error as error:
            raise MarginError(f"{place} is not CSV: {error}") from None
        if values is None:
            return
        if not values:
            continue
        if header is None:
            header = [column.strip() for column in values]
            if "" in header:
                raise MarginError(f"{place}: column {header.index('') + 1} has no name")
            if len(set(header)) < len(header):
                raise MarginError(f"{place}: two columns have the same name")
            if "prompt" not in header:
                raise MarginError(f"{place}: no column named prompt in the header")
        elif len(values) != len(header):
            raise MarginError(f"{place} has {len(values)} fields, the header has {len(header)}")
        else:
            yield place, {column: value or None for column, value in zip(header, values, strict=True)}


def _parquet_records(data: bytes, name: str) -> Iterator[Record]:
    # Not through pandas, which turns integers with a gap, such as ids, into floats.
    try:
        table = pq.read_table(pa.BufferReader(data))
    except (pa.ArrowException, OSError):
        raise MarginError(f"{name} is not a Parquet file that can be read") from None
    columns = [table.column(index).to_pylist() for index in range(table.num_columns)]
    return _table_records(table.column_names, zip(*columns, strict=True), name)


def _table_records(columns: Sequence[object], rows: Iterable[tuple[Any, ...]], name: str) -> Iterator[Record]:
    header = [str(column) for column in columns]
    if len(set(header)) < len(header):
        raise MarginError(f"{name}: two columns have the same name")
    if "prompt" not in header:
        raise MarginError(f"{name} has no column named prompt")
    for number, values in enumerate(rows, 1):
        yield f"{name} row {number}", dict(zip(header, values, strict=True))


def _collect(records: Iterable[Record], source: str) -> PromptSet:
    rows: list[dict[str, str | None]] = []
    places: list[str] = []
    first_id: dict[str, str] = {}
    first_text: dict[str, str] = {}
    for number, (place, record) in enumerate(records, 1):
        text = _prompt(record, place)
        name = _id(record, place) if "id" in record else str(number)
        # Chat templates strip a prompt: two that differ in outer white space are one.
        for what, key, seen in (("id", name, first_id), ("prompt", text.strip(), first_text)):
            if key in seen:
                raise MarginError(f"{place}: the same {what} as {seen[key]}: keep one")
            seen[key] = place
        slices = {
            column: _label(value, column, place)
            for column, value in record.items()
            if column not in ("id", "prompt")
        }
        rows.append({"id": name, "prompt": text, **slices})
        places.append(place)
    if not rows:
        raise MarginError(f"{source} holds no prompts")
    # Object columns, so that a missing label is None whatever the string type of the pandas at hand.
    table = pd.DataFrame(rows, dtype=object)
    return PromptSet(table.where(table.notna(), None), tuple(places))


def _prompt(record: Mapping[str, Any], place: str) -> str:
    if "prompt" not in record:
        raise MarginError(f"{place}: no column named prompt")
    text = record["prompt"]
    if text is not None and not isinstance(text, str):
        raise MarginError(f"{place}: the prompt is not a text")
    if not text or not text.strip():
        raise MarginError(f"{place}: the prompt is empty")
    return _unicode(text, "prompt", place)


def _id(record: Mapping[str, Any], place: str) -> str:
    name = _label(record["id"], "id", place)
    if not name or not name.strip() or not name.isprintable():
        raise MarginError(f"{place}: the id is empty or holds a line break")
    return name


def _label(value: Any, column: str, place: str) -> str | None:
    if not pd.api.types.is_scalar(value):
        raise MarginError(f"{place}: column {column!r} holds a list or an object: give a plain value")
    return None if pd.isna(value) else _unicode(str(value), column, place)


def _unicode(text: str, column: str, place: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:  # JSON can spell half of a surrogate pair, which no file can hold
        raise MarginError(f"{place}: column {column!r} is not valid Unicode") from None
    return text
