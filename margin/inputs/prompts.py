"""Prompt sets from files, lists and tables, with every bad line named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from margin.errors import MarginError, foreign
from margin.inputs.dataset import is_dataset, read_dataset
from margin.inputs.tables import (
    SUFFIXES,
    Record,
    label,
    normalised,
    others,
    read_records,
    table_records,
    unicode,
    whole,
)
from margin.text import counted, is_blank, shown

TABLE = "the table"


@dataclass(frozen=True, eq=False)
class PromptSet:
    """Prompts with unique ids and texts, and the columns to slice them by.

    Its repr and its errors show ids and lines, never the text.
    """

    table: pd.DataFrame = field(repr=False)
    """(n, 2 + slices) strings: id, prompt, then the slice columns, where a missing value is None."""
    places: tuple[str, ...] = field(default=(), repr=False)
    """n places of origin, such as "prompts.csv line 7"; may be left out."""
    said: str = field(default="", repr=False)
    """What a reader wants to know of where they come from: of a data set its split and column."""

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def ids(self) -> list[str]:
        """n unique ids."""
        ids: list[str] = self.table["id"].tolist()
        return ids

    @cached_property
    def texts(self) -> list[str]:
        """n prompts."""
        texts: list[str] = self.table["prompt"].tolist()
        return texts

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
        if type(n) is not int or n < 1:
            raise MarginError(f"a limit of {n} leaves no prompts: take at least 1")
        return PromptSet(self.table.head(n), self.places[:n], self.said)

    def __repr__(self) -> str:
        return f"PromptSet({counted(len(self), 'prompt')}, slices: {', '.join(self.slices) or 'none'})"


Prompts: TypeAlias = (
    str
    | Path
    | Iterable[str]
    | Iterable[Mapping[str, Any]]
    | Mapping[str, Sequence[Any]]
    | pd.DataFrame
    | PromptSet
)
"""What prompts can be given as."""


def load_prompts(source: Prompts, *, column: str | None = None, split: str | None = None) -> PromptSet:
    """Prompts from a .jsonl, .csv or .parquet file, a Hugging Face data set, a list of texts or of records,
    or a table.

    A table is a DataFrame, a mapping of columns (as `dataset[:50]` is), a pyarrow Table or a Hugging Face
    Dataset; an index with a name is a column, too. Column `prompt` is the text and `id`, where there is one,
    its unique id (else the position, from 1), of a whole number without its .0. All other columns are kept as
    slice columns; slice values are labels and become strings, an empty one is missing. White space in names
    of columns and in slice values becomes single spaces. A data set is named by its folder, or its id on the
    hub; what public sets call their prompts is known there, see `margin.inputs.dataset`.

    Parameters
    ----------
    column : what the column is called that holds the prompts, where it is not `prompt`.
    split : of a data set which split.

    Raises
    ------
    MissingExtraError : a data set, where `datasets` is not installed.
    MarginError : a file that cannot be read, another encoding than UTF-8, no column `prompt`, no prompts,
        something that is none of these; by line: bad JSON, a torn CSV line, an empty prompt, an id or a text
        that stood before. Shows no prompt.
    """
    if isinstance(source, PromptSet):
        return source
    if isinstance(source, str | Path) and is_dataset(path := _path(source)):
        found = read_dataset(path, column, split)
        rows = zip(*found.columns.values(), strict=True)
        records = table_records(list(found.columns), rows, found.place, "prompt")
        return replace(_collect(records, found.place), said=found.said)
    if split is not None:
        raise MarginError("a split is of a data set: prompts from a file or a table have none")
    named = column or "prompt"
    if isinstance(source, str | Path):
        return _collect(_renamed(read_records(_path(source), "prompt", named), column), str(source))
    if isinstance(source, pd.DataFrame):
        # An index with a name is a column that was set aside, as an id often is.
        named_ones = [name for name in source.index.names if name is not None and name not in source.columns]
        source = source.reset_index(named_ones) if named_ones else source
        rows = source.itertuples(index=False, name=None)
        return _collect(_renamed(table_records(list(source.columns), rows, TABLE, named), column), TABLE)
    columns = _columns(source)
    if columns is not None:
        rows = zip(*columns.values(), strict=True)
        return _collect(_renamed(table_records(list(columns), rows, TABLE, named), column), TABLE)
    return _collect(_renamed(normalised(_items(source)), column), "the list of prompts")


def _renamed(records: Iterable[Record], column: str | None) -> Iterator[Record]:
    """The records with `column` called prompt, in the place of one that was called so."""
    for place, record in records:
        if column is None or column == "prompt":
            yield place, record
        elif column not in record:
            raise MarginError(f"{place}: no column named {shown(column)}{others(list(record))}")
        else:
            kept = {name: value for name, value in record.items() if name not in ("prompt", column)}
            yield place, {"prompt": record[column], **kept}


def _path(source: str | Path) -> Path:
    path = Path(source)
    if isinstance(source, str) and path.suffix.lower() not in SUFFIXES and len(source.split()) > 1:
        # Perhaps a prompt: not shown.
        raise MarginError("prompts given as one text are the path of a file: for a single prompt give a list")
    return path


def _columns(source: Any) -> dict[str, list[Any]] | None:
    """The columns of a mapping, a pyarrow Table or a Hugging Face Dataset; None where it is none of these."""
    if hasattr(source, "column_names"):
        read = getattr(source, "to_pydict", None) or getattr(source, "to_dict", None)
        if read is not None:
            with foreign("the table of prompts cannot be read"):
                source = read()
    if not isinstance(source, Mapping):
        return None
    columns: dict[str, list[Any]] = {}
    for name, values in source.items():
        if hasattr(values, "column_names"):
            raise MarginError(f"prompts are a set of tables: give one of them, such as [{shown(name)!r}]")
        if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
            raise MarginError(f"prompts: column {shown(name)!r} is no list: give one value for each prompt")
        columns[name] = list(values)
    lengths = {shown(name): len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name!r} {length}" for name, length in lengths.items())
        raise MarginError(f"prompts: columns of different lengths: {said}")
    return columns


def _items(source: Any) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    scalar = getattr(source, "ndim", 1) == 0  # an array of a single value, which cannot be gone through
    if isinstance(source, bytes | set | frozenset) or scalar or not isinstance(source, Iterable):
        kind = type(source).__name__
        raise MarginError(
            f"prompts cannot be a {kind}: give a file, a list of texts or of records, or a table"
        )
    for number, item in enumerate(source, 1):
        yield f"item {number}", item if isinstance(item, Mapping) else {"prompt": item}


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
            column: _slice(value, column, place)
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
        raise MarginError(f"{place}: no column named prompt{others(list(record))}")
    text = record["prompt"]
    missing = text is None or (pd.api.types.is_scalar(text) and pd.isna(text))
    if not missing and not isinstance(text, str):
        raise MarginError(f"{place}: the prompt is not a text")
    if missing or is_blank(text):
        raise MarginError(f"{place}: the prompt is empty")
    return unicode(text, "prompt", place)


def _slice(value: Any, column: str, place: str) -> str | None:
    """A value as readers see it: "en" and "en " look alike in every table, and nothing at all is missing."""
    return " ".join((label(value, column, place) or "").split()) or None


def _id(record: Mapping[str, Any], place: str) -> str:
    """The id as readers see it: without outer white space, and 1 where pandas has made 1.0 of it."""
    name = (label(whole(record["id"]), "id", place) or "").strip()
    if not name:
        raise MarginError(f"{place}: the id is empty")
    if not name.isprintable():
        raise MarginError(f"{place}: the id holds a line break or characters that cannot be seen")
    return name
