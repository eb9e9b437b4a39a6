"""Labels of a run's rows from a file that people, or another program, have written."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from margin.errors import MarginError, MarginWarning
from margin.inputs.tables import SUFFIXES, label, read_records, whole
from margin.run.files import csv_text
from margin.run.run import Run
from margin.run.run_tables import ANSWERS
from margin.study.judgements import (
    LABELS,
    MOST,
    SCORES,
    Judgements,
    is_label,
    range_in_words,
)
from margin.text import brief, counted

__all__ = ["SUFFIXES", "label_of", "others", "read_labels", "require_few", "require_whole", "rows_meant"]


def read_labels(path: Path, run: Run) -> Judgements:
    """Judgements of a run from a CSV, JSON lines or Parquet file.

    Column `label`, and as key either `row` (place in the run's rows) or `prompt_id` and `condition`, with
    `draw` where a condition has several. A file that has both must mean the same row by both. Columns of
    `SCORES` are taken too, others are left; where there is a column `answer`, a `MarginWarning` says how many
    are not the run's. All rows of the modes have to be there, and of each control
    condition all or none.

    Raises
    ------
    MarginError : a file that cannot be read, missing columns; by line: a key that is unknown or stood before,
        a row that is another prompt's or condition's in the run, a label that is empty, long, of several
        lines or with characters that cannot be seen, a score out of its range; a row without a label.
    """
    lines: list[dict[str, Any]] = []
    answers: dict[int, str] = {}
    for place, row, record in rows_meant(path, run):
        if isinstance(answer := record.get("answer"), str):
            answers[row] = answer
        scores = {name: _score(record, name, place) for name in SCORES if name in record}
        lines.append({"row": row, "label": label_of(record, place), **scores})
    found = pd.DataFrame(lines)
    require_few(found["label"], str(path))
    require_whole(found["row"], run, str(path))
    if other := others(run, answers):
        warnings.warn(
            f"{path}: of {counted(len(answers), 'answer')} {other:,} differ from the run's, and the labels "
            "are of the file's",
            MarginWarning,
            stacklevel=2,
        )
    return Judgements(path.name, found.sort_values("row", ignore_index=True))


def others(run: Run, answers: Mapping[int, str]) -> int:
    """How many answers, by row, differ from the run's, of which one may go on where the other was cut."""
    if ANSWERS not in run.manifest.files:
        return 0
    own = run.answers.set_index("row")["answer"].str.strip()
    pairs = [(own[row], answer.strip()) for row, answer in answers.items() if row in own.index]
    return sum(not (a.startswith(b) or b.startswith(a)) for a, b in pairs)


def rows_meant(path: Path, run: Run) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
    """Each record of a file of labels: its place in the file, the row of the run it means, and its fields.

    Raises
    ------
    MarginError : as `read_labels` for the file, its columns and keys.
    """
    records = list(read_records(path, "labels", "label"))
    if not records:
        raise MarginError(f"{path} holds no labels")
    columns = set().union(*(record for _, record in records))
    if "label" not in columns:
        raise MarginError(f"{path}: no column named label")
    keys = ["row"] if "row" in columns else ["prompt_id", "condition", "draw"]
    if not {"prompt_id", "condition"} <= columns and keys != ["row"]:
        raise MarginError(
            f"{path} has neither column row nor prompt_id and condition: say which row is labelled"
        )
    known = {
        tuple(str(value) for value in key): row
        for row, *key in run.rows[["row", *keys]].itertuples(index=False, name=None)
    }
    others = [name for name in ("prompt_id", "condition", "draw") if name in columns and name not in keys]
    about = run.rows.set_index("row")[others]
    scores = dict.fromkeys(name for name in SCORES if name in columns)
    places: dict[tuple[str, ...], str] = {}
    for place, record in records:
        key = tuple(_key(record, name, place) for name in keys)
        said = ", ".join(f"{name} {brief(value)!r}" for name, value in zip(keys, key, strict=True))
        if key not in known:
            raise MarginError(f"{place}: {said} is not in the run")
        if key in places:
            raise MarginError(f"{place}: {said} stood in {places[key]} before: keep one")
        places[key] = place
        _require_meant(record, about.loc[known[key]], place, said)
        yield place, known[key], scores | dict(record)


def _require_meant(record: Mapping[str, Any], row: pd.Series, place: str, said: str) -> None:
    """MarginError where what else a record says of its row is not so in the run, as in a file sorted anew."""
    for name, value in row.items():
        if record.get(name) is not None and _key(record, name, place) not in (
            str(value),
            csv_text(str(value)),
        ):
            raise MarginError(
                f"{place}: {said} has another {name} in the run: is the file of another run, or in another "
                "order? Leave out column row, or the others"
            )


def _key(record: Mapping[str, Any], name: str, place: str) -> str:
    """A part of what says which row is labelled, as text; the draw is 0 where it is not said."""
    text = label(whole(record.get(name)), name, place)
    if text is None and name == "draw":
        return "0"
    if text is None:
        raise MarginError(f"{place}: no {name}: say which row is labelled")
    return text.strip()


def label_of(record: Mapping[str, Any], place: str) -> str:
    """The label in a record; MarginError where there is none, or what cannot be one."""
    text = (label(whole(record.get("label")), "label", place) or "").strip()
    if not is_label(text):
        raise MarginError(f"{place}: {LABELS}")
    return text


def _score(record: Mapping[str, Any], name: str, place: str) -> float:
    """A score as a number, given as one or as its text."""
    value, (low, high) = record.get(name), SCORES[name]
    try:
        # Python takes 0_1 for 1.
        number = math.nan if value is None or isinstance(value, bool) or "_" in str(value) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not low <= number <= high or (name == "constructive" and number % 1):
        raise MarginError(f"{place}: {name} must be a number, {range_in_words(name)}")
    return number


def require_few(labels: pd.Series, source: str) -> None:
    """MarginError where labels are more different ones than judgements may hold."""
    if (different := labels.nunique()) > MOST:
        raise MarginError(f"{source} holds {different} different labels: use at most {MOST}")


def require_whole(labelled: pd.Series, run: Run, source: str, why: str = "") -> None:
    """MarginError where a row of a mode has no label, or one of a control that has some; says `why`."""
    rows = run.rows
    there = rows["row"].isin(labelled)
    begun = rows["condition"].isin(rows["condition"][there]) | (rows["kind"] == "mode")
    missing = rows[begun & ~there]
    if len(missing):
        first = missing.iloc[0]
        raise MarginError(
            f"{source} lacks {len(missing)} of the run's rows, such as prompt {first['prompt_id']!r} under "
            f"{first['condition']!r}, draw {first['draw']}{why}: label every row of each condition"
        )
