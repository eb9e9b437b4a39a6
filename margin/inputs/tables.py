"""The one way to read a table of the user's: CSV, JSON lines and Parquet as records, each with its place."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from margin.errors import MarginError, foreign
from margin.inputs.reading import jsonl_records, read_bytes, read_text
from margin.text import shown

Record = tuple[str, Mapping[str, Any]]
"""Where a record comes from ("prompts.csv line 7") and its fields."""
SUFFIXES = (".csv", ".jsonl", ".ndjson", ".parquet")
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
"""What files called CSV have in the place of commas."""
LONGEST_FIELD = 2**31 - 1
"""Characters of a CSV field; the csv module by itself takes 131,072."""

_NAME = re.compile(r"[^\W\d][\w.-]{0,39}")
_INDEX = re.compile(r"__index_level_\d+__")


def read_records(path: Path, what: str, required: str) -> Iterator[Record]:
    """The records of a .csv, .jsonl (.ndjson) or .parquet file, in order, by normalised names of columns.

    Values are those of the file: of CSV texts, where an empty field is None. `what` says what the file was to
    be ("prompt"), `required` names a column it has to have.

    Raises
    ------
    MarginError : another suffix, a file that cannot be read, another encoding than UTF-8, a name of a column
        that is missing, empty, unseen or there twice; by line: bad JSON, a torn CSV line. Shows no value.
    """
    name = str(path)
    match path.suffix.lower():
        case ".jsonl" | ".ndjson":
            records = jsonl_records(read_text(path, what), name, f'{{"{required}": ...}}')
            return normalised(records)
        case ".csv":
            return _csv_records(read_text(path, what), name, required)
        case ".parquet":
            return _parquet_records(read_bytes(path, what), name, required)
    raise MarginError(f"unknown kind of {what} file {path}: use .csv, .jsonl or .parquet")


def table_records(
    columns: Sequence[object], rows: Iterable[Sequence[Any]], name: str, required: str
) -> Iterator[Record]:
    """The records of a table by its columns' names and its rows; errors as in `read_records`."""
    header = column_names(columns, name, required)
    for number, values in enumerate(rows, 1):
        yield f"{name} row {number}", dict(zip(header, values, strict=True))


def normalised(records: Iterable[tuple[str, Mapping[Any, Any]]]) -> Iterator[Record]:
    """Records that each bring their own names of columns, by normalised names."""
    known: dict[tuple[Any, ...], list[str]] = {}
    for place, record in records:
        columns = tuple(record)
        if columns not in known:
            known[columns] = column_names(columns, place)
        yield place, dict(zip(known[columns], record.values(), strict=True))


def column_names(columns: Iterable[object], place: str, required: str | None = None) -> list[str]:
    """Names of columns as text, with single spaces for white space, line ends among it, composed (NFC).

    Raises
    ------
    MarginError : a name that is empty, that holds characters which cannot be seen, or that stands twice; no
        column `required`.
    """
    names = [normalize("NFC", " ".join(str(column).split())) for column in columns]
    if names and names[0].lower().startswith("sep="):
        raise MarginError(f"{place} is a note for Excel, sep=..., and no names of columns: remove the line")
    for number, name in enumerate(names, 1):
        if not name:
            hint = " (an index that pandas wrote? to_csv(..., index=False))" if number == 1 else ""
            raise MarginError(f"{place}: column {number} has no name{hint}")
        if shown(name) != name:
            raise MarginError(
                f"{place}: the name of column {number} holds characters that cannot be seen: rename it"
            )
    if len(set(names)) < len(names):
        raise MarginError(f"{place}: two columns have the same name")
    if required is not None and required not in names:
        raise MarginError(f"{place}: no column named {required}{_meant(names, required) or others(names)}")
    return names


def label(value: Any, column: str, place: str) -> str | None:
    """A value as a label: its text, None where it is missing.

    Composed (NFC): é may be one character or two, which no reader can tell apart.

    Raises
    ------
    MarginError : bytes, a list, an object, an infinite number, a text that is not valid Unicode.
    """
    if isinstance(value, bytes) or not pd.api.types.is_scalar(value):
        kind = "bytes" if isinstance(value, bytes) else "a list or an object"
        raise MarginError(f"{place}: column {column!r} holds {kind}: give a plain value")
    if isinstance(value, float) and math.isinf(value):
        raise MarginError(f"{place}: column {column!r} holds an infinite number")
    return None if pd.isna(value) else normalize("NFC", unicode(str(value), column, place))


def whole(value: Any) -> Any:
    """An integer for a float that is one: pandas makes floats of integers beside a gap, JSON may say 1.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def unicode(text: str, column: str, place: str) -> str:
    """The text itself. MarginError where it holds half of a surrogate pair, which JSON can spell."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise MarginError(f"{place}: column {column!r} is not valid Unicode") from None
    return text


def _csv_records(text: str, name: str, required: str) -> Iterator[Record]:
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise MarginError(f"{name} line {line} holds a NUL byte: save the file as UTF-8 text")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    with _long_fields():
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
                header = column_names(values, place)
                if any(value.startswith(" ") for value in values[1:]):
                    raise MarginError(
                        f"{place}: spaces stand after the commas, and so before each text: save it without"
                    )
                if required not in header:
                    meant = _meant(header, required) or others(header)
                    said = f"no column named {required} in the header{meant}"
                    raise MarginError(f"{place}: {said}{_separated(values, required)}")
            elif len(values) != len(header):
                raise MarginError(f"{place} has {len(values)} fields, the header has {len(header)}")
            else:
                yield place, {column: value or None for column, value in zip(header, values, strict=True)}


def _parquet_records(data: bytes, name: str, required: str) -> Iterator[Record]:
    # Not through pandas, which turns integers with a gap, such as ids, into floats.
    with foreign(f"{name} is not a Parquet file that can be read"):
        table = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True).read()
    # What pandas calls the row labels of a table that was sorted or filtered: no column of the user's.
    table = table.drop_columns([name for name in table.column_names if _INDEX.fullmatch(name)])
    columns = []
    for column in table.column_names if len(set(table.column_names)) == table.num_columns else []:
        with foreign(f"{name}: column {shown(column)!r} cannot be read"):
            values = table.column(column)
            if values.type == pa.time64("ns"):  # Python's own time of day ends at microseconds
                values = values.cast(pa.string())
            columns.append(values.to_pylist())
    return table_records(table.column_names, zip(*columns, strict=True), name, required)


@contextmanager
def _long_fields() -> Iterator[None]:
    before = csv.field_size_limit(LONGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _meant(names: Sequence[str], required: str) -> str:
    """A column whose name differs from the one that is needed by its case only."""
    return next((f" (there is {name!r}: rename it)" for name in names if name.lower() == required), "")


def others(names: Sequence[str]) -> str:
    """The names of columns there are, where all are like names: a header may be the first line of texts."""
    return f" (it has {', '.join(names)})" if names and all(map(_NAME.fullmatch, names)) else ""


def _separated(header: Sequence[str], required: str) -> str:
    """What stands between the fields, where it is no comma."""
    for separator, what in SEPARATORS.items():
        if any(required in map(str.strip, name.split(separator)) for name in header):
            return f": its fields are separated by {what}, save it with commas"
    return ""
