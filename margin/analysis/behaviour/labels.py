"""Labels of a run's rows from a file that people, or another program, have written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from margin.analysis.behaviour.judgements import SCORES, Judgements
from margin.errors import MarginError
from margin.run.run import Run

SUFFIXES = (".csv", ".jsonl", ".ndjson", ".parquet")
LONGEST = 64
"""Characters of a label: whatever is longer is text, which judgements do not hold."""
MOST = 50
"""Different labels a file may hold."""


def read_labels(path: Path, run: Run) -> Judgements:
    """Judgements of a run from a CSV, JSON lines or Parquet file.

    Column `label`, and as key either `row` (place in the run's rows) or `prompt_id` and `condition`, with
    `draw` where a condition has several. Columns of `SCORES` are taken too, others are left. All rows of the
    modes have to be there, and of each control condition all or none.

    Raises
    ------
    MarginError : a file that cannot be read, missing columns; by line: a key that is unknown or stood before,
        a label that is empty, long or of several lines, a score out of its range; a row without a label.
    """
    table = _read(path)
    if "label" not in table:
        raise MarginError(f"{path} has no column label")
    keys = ["row"] if "row" in table else ["prompt_id", "condition", "draw"]
    if not {"prompt_id", "condition"} <= set(table) and keys != ["row"]:
        raise MarginError(
            f"{path} has neither column row nor prompt_id and condition: say which row is labelled"
        )
    known = {key: row for row, key in zip(run.rows["row"], _keys(run.rows, keys), strict=True)}
    lines: dict[tuple[str, ...], int] = {}
    for number, key in enumerate(_keys(table, keys), 1):
        if key not in known:
            raise MarginError(f"{path} entry {number}: {_named(keys, key)} is not in the run")
        if key in lines:
            raise MarginError(
                f"{path} entry {number}: {_named(keys, key)} stood in entry {lines[key]} before: keep one"
            )
        lines[key] = number
    found = pd.DataFrame({"row": [known[key] for key in lines], "label": _labels(table["label"], path)})
    for name in SCORES:
        if name in table:
            found[name] = _scores(table[name], name, path)
    _require_whole(found["row"], run, path)
    return Judgements(path.name, found.sort_values("row", ignore_index=True))


def _read(path: Path) -> pd.DataFrame:
    """The file's table, every value as the text it stands for, None where there is none."""
    try:
        match path.suffix.lower():
            case ".csv":
                table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
            case ".parquet":
                table = pd.read_parquet(path)
            case ".jsonl" | ".ndjson":
                lines = path.read_text(encoding="utf-8-sig").splitlines()
                table = pd.DataFrame([json.loads(line) for line in lines if line.strip()], dtype=object)
            case _:
                raise MarginError(f"unknown kind of labels file {path}: use {', '.join(SUFFIXES)}")
    except OSError as error:
        raise MarginError(f"cannot read the labels file {path}: {error.strerror or 'not readable'}") from None
    except (ValueError, AttributeError, pa.ArrowException):
        raise MarginError(f"{path} is no {path.suffix[1:]} table in UTF-8 that can be read") from None
    if not len(table):
        raise MarginError(f"{path} holds no labels")
    return table


def _keys(table: pd.DataFrame, keys: list[str]) -> list[tuple[str, ...]]:
    columns = [table[key].map(_text) if key in table else ["0"] * len(table) for key in keys]
    return list(zip(*columns, strict=True))


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _named(keys: list[str], key: tuple[str, ...]) -> str:
    return ", ".join(f"{name} {value!r}" for name, value in zip(keys, key, strict=True))


def _labels(column: pd.Series, path: Path) -> list[str]:
    labels = ["" if value is None or value != value else _text(value).strip() for value in column]
    for number, label in enumerate(labels, 1):
        if not label or len(label) > LONGEST or not label.isprintable():
            raise MarginError(f"{path} entry {number}: a label has 1 to {LONGEST} characters on one line")
    if len(set(labels)) > MOST:
        raise MarginError(f"{path} holds {len(set(labels))} different labels: use at most {MOST}")
    return labels


def _scores(column: pd.Series, name: str, path: Path) -> pd.Series:
    scores = pd.to_numeric(column, errors="coerce")
    low, high = SCORES[name]
    wrong = ~scores.between(low, high)
    if name == "constructive":
        wrong |= scores % 1 != 0
    if wrong.any():
        number = int(wrong.to_numpy().argmax()) + 1
        kind = "0, 1 or 2" if name == "constructive" else f"from {low} to {high}"
        raise MarginError(f"{path} entry {number}: {name} must be a number, {kind}")
    return scores.astype(float)


def _require_whole(labelled: pd.Series, run: Run, path: Path) -> None:
    rows = run.rows
    there = rows["row"].isin(labelled)
    begun = rows["condition"].isin(rows["condition"][there]) | (rows["kind"] == "mode")
    missing = rows[begun & ~there]
    if len(missing):
        first = missing.iloc[0]
        raise MarginError(
            f"{path} lacks {len(missing)} of the run's rows, such as prompt {first['prompt_id']!r} under "
            f"{first['condition']!r}, draw {first['draw']}: label every row of each condition"
        )
