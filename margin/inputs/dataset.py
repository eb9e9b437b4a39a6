"""Prompts from a Hugging Face data set: a folder, or an id on the hub."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from margin.errors import MarginError, foreign
from margin.extras import require
from margin.inputs.tables import SUFFIXES
from margin.text import brief, counted, shown

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

COLUMNS = (
    *("prompt", "question", "instruction", "goal", "forbidden_prompt", "behavior", "query", "text"),
    *("forbidden_question", "adversarial", "vanilla", "input", "jailbreak_query", "redteam_query"),
)
"""What the usual public sets call the text that is asked, in any case, the likelier first."""
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(/[\w.-]+)?")
_SAVED = ("state.json", "dataset_dict.json")
"""Files by which a folder is known that `save_to_disk` wrote."""


@dataclass(frozen=True, eq=False)
class Found:
    """A data set that was read."""

    columns: Mapping[str, Sequence[Any]]
    """Values by column, that of the prompts called "prompt"."""
    place: str
    """What an error calls it."""
    said: str
    """Which split and column were taken, and what was left out."""


def is_dataset(path: Path) -> bool:
    """Whether a path is a folder or, where it is no file, like an id on the hub; see `_configuration`."""
    if path.suffix.lower() in SUFFIXES or path.is_file():
        return False
    return path.is_dir() or _configuration(path) is not None or _HUB_ID.fullmatch(path.as_posix()) is not None


def read_dataset(path: Path, column: str | None = None, split: str | None = None) -> Found:
    """A data set in a folder (as `save_to_disk` wrote it, or of Parquet, CSV or JSON files) or on the hub.

    `column` names the prompts; else the first of `COLUMNS` that is there does. Labels of classes become their
    names; columns that hold no plain values (conversations, pictures) are left out. What is on the hub is
    fetched into the library's own cache.

    Parameters
    ----------
    path : a folder or an id; a configuration, where there are several, is its last part: owner/name/config.
    split : which split; needed where there are several. Of files and the hub parts of one, too: test[:100].

    Raises
    ------
    MissingExtraError : `datasets` is not installed.
    MarginError : what cannot be read, or not reached; several splits and none named; an unknown column or
        split, where it lists those there are.
    """
    require("datasets", f"reading the data set {path}")
    whole = _loaded(path, split)
    taken, name = _split(whole, split, path)
    place = f"{path}, split {name}" if name else str(path)
    columns = list(map(str, taken.column_names))
    chosen = _column(columns, column, place)
    kept, other = _plain(taken, chosen)
    with foreign(f"{place} cannot be read"):
        values = {each: kept[each][:] for each in kept.column_names}
    left = f"; left out: {', '.join(map(brief, other))}" if other else ""
    said = f"prompts: column {brief(chosen)!r} of {shown(place)}, {counted(len(kept), 'row')}{left}"
    renamed = {("prompt" if each == chosen else each): found for each, found in values.items()}
    return Found(_named(renamed, kept), place, said)


def _loaded(path: Path, split: str | None) -> Dataset | DatasetDict:
    import datasets

    configuration = _configuration(path)
    folder = path if configuration is None else path.parent
    what = "cannot be read as a data set"
    if not folder.is_dir():
        what = "is no file or folder here, and no data set of the hub that can be reached"
    with _quiet(), foreign(f"{path} {what}"):
        if any((folder / name).is_file() for name in _SAVED):
            return datasets.load_from_disk(str(folder))
        return datasets.load_dataset(folder.as_posix(), configuration, split=split)


def _configuration(path: Path) -> str | None:
    """The configuration that stands after a folder (FOLDER/NAME) or an id (OWNER/NAME/CONFIGURATION)."""
    after_folder = not (path.exists() or path.suffix) and len(path.parts) > 1 and path.parent.is_dir()
    after_id = not path.is_absolute() and not path.exists() and len(path.parts) == 3
    return path.name if after_folder or after_id else None


def _split(found: Dataset | DatasetDict, split: str | None, path: Path) -> tuple[Dataset, str]:
    """The split that is asked for, or the only one, and its name."""
    if not isinstance(found, Mapping):
        return found, split or str(found.split or "")
    known = ", ".join(f"{brief(name)} ({counted(len(part), 'row')})" for name, part in found.items())
    if split is None and len(found) == 1:
        split = next(iter(found))
    if split is None:
        raise MarginError(f"{path} has {len(found)} splits, {known}: say which (--split NAME)")
    if split not in found:
        raise MarginError(f"{path} has no split {brief(split)!r}: it has {known}")
    return found[split], split


def _column(columns: Sequence[str], column: str | None, place: str) -> str:
    """The column of the prompts."""
    known = ", ".join(map(brief, columns)) or "none"
    if column is not None:
        if column not in columns:
            raise MarginError(f"{place} has no column {brief(column)!r}: it has {known}")
        return column
    by_name = {name.casefold(): name for name in reversed(columns)}
    found = next((by_name[name] for name in COLUMNS if name in by_name), None)
    if found is None:
        raise MarginError(
            f"{place} has no column that is known for prompts ({', '.join(COLUMNS[:8])}, ...): say which of "
            f"{known} (--column NAME)"
        )
    return found


def _plain(found: Dataset, chosen: str) -> tuple[Dataset, list[str]]:
    """The set without columns that hold no plain values, or bear the prompts' name; and their names."""
    from datasets import ClassLabel, Value

    other = [
        name
        for name, feature in found.features.items()
        if name != chosen
        and (
            name == "prompt"
            or (
                not isinstance(feature, ClassLabel)
                and not (isinstance(feature, Value) and "binary" not in feature.dtype)
            )
        )
    ]
    return found.remove_columns(other), other


def _named(columns: Mapping[str, Sequence[Any]], found: Dataset) -> dict[str, Sequence[Any]]:
    """The columns with names for the numbers of classes."""
    from datasets import ClassLabel

    return {
        name: [None if value is None or value < 0 else feature.int2str(value) for value in values]
        if isinstance(feature := found.features.get(name), ClassLabel)
        else values
        for name, values in columns.items()
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """No bars and no log of the library's while it reads; both are as they were afterwards."""
    import datasets

    shown_before, level = datasets.are_progress_bars_disabled(), datasets.logging.get_verbosity()
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity_error()
    try:
        yield
    finally:
        datasets.logging.set_verbosity(level)
        if not shown_before:
            datasets.enable_progress_bars()
