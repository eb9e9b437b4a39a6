"""The checkpoints of a training: which folders they are, and in which order they were made."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from margin.errors import MarginError

_COUNTED = re.compile(
    r"(?<![a-z])(checkpoint|ckpt|global[-_ ]?step|step|iteration|iter|epoch)[-_ =]?(\d{1,18})(?![a-z0-9.])",
    re.IGNORECASE,
)
_STATE = "trainer_state.json"
_WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.pth")


@dataclass(frozen=True)
class Saved:
    """A checkpoint as it lies on disk or on the hub."""

    name: str
    """Unique among those it was found with; also the name of its run's folder."""
    source: str
    """Folder, file or hub id."""
    step: int | None
    """When in the training it was saved, by its trainer_state.json, else by its name (checkpoint-100)."""
    is_adapter: bool
    """Whether it is an adapter, to be loaded on a base model."""


def find_checkpoints(places: Sequence[str], base: str | None = None) -> list[Saved]:
    """The checkpoints in `places`: folders, GGUF files, hub ids, or folders of checkpoints.

    A folder that holds checkpoints stands for these and not for itself. Where all tell distinct steps the
    order is that of the steps. Else it is that in which they were given, inside a folder first those with a
    step, then the others by name, numbers in it as numbers; steps that stand twice are left out, and so are
    those that are counted anew in every epoch. `base` is the model adapters go on; where it is among the
    checkpoints it is step 0.

    Raises
    ------
    MarginError : an empty name, a path where nothing is, a folder without a checkpoint, fewer than two in
        all, one that stands twice, an adapter without a base, a base for what is no adapter.
    """
    if "" in places:  # which Python would take for the folder this runs in
        raise MarginError("the name of a checkpoint is empty: give a folder, a GGUF file or a hub id")
    found = [saved for place in places for saved in _at(place)]
    found = [replace(saved, step=0) if saved.source == base else saved for saved in found]
    if len(found) < 2:
        raise MarginError(f"a trajectory needs at least two checkpoints, there is {len(found)}")
    found = _named_apart(found)
    for saved in found:
        if saved.is_adapter and base is None:
            raise MarginError(f"{saved.source} is an adapter: name the model it goes on with --model BASE")
        if not saved.is_adapter and base not in (None, saved.source):
            raise MarginError(f"{saved.source} is a whole checkpoint: --model BASE is for adapters only")
    steps = [saved.step for saved in found if saved.step is not None]
    if len(set(steps)) < len(steps):
        return [replace(saved, step=None) for saved in found]
    if len(steps) < len(found):
        return found
    return sorted(found, key=lambda saved: saved.step or 0)


def left_out(places: Sequence[str]) -> Iterator[tuple[Path, bool]]:
    """Folders beside the checkpoints in `places` that are none, for they hold no configuration.

    Each with whether it looks like one all the same, by its name or by weights in it.
    """
    for place in map(Path, places):
        if place.is_dir() and not _is_checkpoint(place):
            for folder in sorted(_folders(place), key=lambda folder: _natural(folder.name)):
                if not _is_checkpoint(folder):
                    weights = any(any(folder.glob(pattern)) for pattern in _WEIGHTS)
                    yield folder, weights or _step(folder)[0] is not None


def is_local(given: str) -> bool:
    """Whether a name that is no file can only have been meant as one, and as no id of the hub."""
    path = Path(given)
    return path.is_absolute() or len(path.parts) > 2 or given.startswith(".")


def _at(place: str) -> list[Saved]:
    path = Path(place)
    if not path.exists() and is_local(place):
        raise MarginError(f"{place}: no such file or folder")
    if not path.is_dir():
        return [Saved(path.stem if path.is_file() else path.name, place, None, False)]
    inside = [child for child in _folders(path) if _is_checkpoint(child)]
    if not inside and not _is_checkpoint(path):
        raise MarginError(f"{place} is no checkpoint and holds none: there is no config.json in it")
    if not inside:
        return [_saved(path, place)]
    found = [_saved(folder, str(folder)) for folder in sorted(inside, key=lambda one: _natural(one.name))]
    if any(_step(folder)[1] for folder in inside):
        steps = [saved.step for saved in found if saved.step is not None]
        if any(later <= earlier for earlier, later in pairwise(steps)):  # counted anew in every epoch
            return [replace(saved, step=None) for saved in found]
    return sorted(found, key=lambda saved: (saved.step is None, saved.step or 0))


def _folders(path: Path) -> list[Path]:
    return [child for child in path.iterdir() if child.is_dir()]


def _natural(name: str) -> tuple[list[str | int], str]:
    """By what a name is sorted as people sort: numbers in it as numbers, 2 before 10."""
    parts = re.split(r"(\d+)", name.casefold())
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name


def _saved(folder: Path, source: str) -> Saved:
    return Saved(_given(folder).name, source, _step(folder)[0], _is_adapter(folder))


def _given(folder: Path) -> Path:
    """The whole path by the names it was given: of a link its own, which says what its target may not."""
    return Path(os.path.abspath(folder))


def step_of(folder: Path) -> int | None:
    """When in its training a checkpoint was saved, by its trainer_state.json, else by its folder's name."""
    return _step(folder)[0]


def _step(folder: Path) -> tuple[int | None, bool]:
    """The step a checkpoint was saved at, and whether it may be one of its epoch only."""
    try:
        step = json.loads((folder / _STATE).read_bytes())["global_step"]
        if type(step) is int and abs(step) < 10**18:
            return step, False
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        pass  # there is none, or it is none of the Trainer's: the name tells
    name = _given(folder).name
    if name.isdecimal() and len(name) <= 18:
        return int(name), False
    counted = {what.lower(): int(number) for what, number in _COUNTED.findall(name)}
    epoch = counted.pop("epoch", None)
    if counted:
        return list(counted.values())[-1], epoch is not None
    return epoch, False


def _is_checkpoint(folder: Path) -> bool:
    return (folder / "config.json").is_file() or _is_adapter(folder)


def _is_adapter(folder: Path) -> bool:
    return (folder / "adapter_config.json").is_file()


def _named_apart(found: list[Saved]) -> list[Saved]:
    """Checkpoints of one name, from several trainings, take their parent folder's before it."""
    names = [saved.name for saved in found]
    longer = [
        replace(saved, name=f"{_given(Path(saved.source)).parent.name}-{saved.name}")
        if names.count(saved.name) > 1
        else saved
        for saved in found
    ]
    for saved in longer:
        if [other.name for other in longer].count(saved.name) > 1:
            raise MarginError(f"checkpoint {saved.name} stands twice: name each once")
    return longer
