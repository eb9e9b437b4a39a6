"""The checkpoints of a training: which folders they are, and in which order they were made."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from margin.errors import MarginError

_STEP = re.compile(r"(?:checkpoint|step|iteration|iter|epoch)[-_ ]?(\d+)$", re.IGNORECASE)


@dataclass(frozen=True)
class Saved:
    """A checkpoint as it lies on disk or on the hub."""

    name: str
    """Unique among those it was found with; also the name of its run's folder."""
    source: str
    """Folder, file or hub id."""
    step: int | None
    """When in the training it was saved, by its name, as in checkpoint-100."""
    is_adapter: bool
    """Whether it is an adapter, to be loaded on a base model."""


def find_checkpoints(places: Sequence[str], base: str | None = None) -> list[Saved]:
    """The checkpoints in `places`: folders, GGUF files, hub ids, or folders of checkpoints.

    A folder that holds checkpoints stands for these and not for itself. Where all names tell distinct steps
    the order is that of the steps, else that in which they were given. `base` is the model adapters go on;
    where it is among the checkpoints it is step 0.

    Raises
    ------
    MarginError : a folder without a checkpoint, fewer than two in all, one that stands twice, an adapter
        without a base, a base for what is no adapter.
    """
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
    steps = [saved.step for saved in found]
    if None in steps or len(set(steps)) < len(steps):
        return [replace(saved, step=None) for saved in found]
    return sorted(found, key=lambda saved: saved.step or 0)


def _at(place: str) -> list[Saved]:
    path = Path(place)
    if not path.is_dir():
        return [Saved(path.stem if path.is_file() else path.name, place, None, False)]
    inside = [child for child in path.iterdir() if child.is_dir() and _is_checkpoint(child)]
    if not inside and not _is_checkpoint(path):
        raise MarginError(f"{place} is no checkpoint and holds none: there is no config.json in it")
    found = [_saved(folder, str(folder)) for folder in inside] or [_saved(path, place)]
    return sorted(found, key=lambda saved: (saved.step is None, saved.step or 0, saved.name))


def _saved(folder: Path, source: str) -> Saved:
    name = folder.resolve().name
    step = _STEP.search(name)
    return Saved(name, source, int(step[1]) if step else None, _is_adapter(folder))


def _is_checkpoint(folder: Path) -> bool:
    return (folder / "config.json").is_file() or _is_adapter(folder)


def _is_adapter(folder: Path) -> bool:
    return (folder / "adapter_config.json").is_file()


def _named_apart(found: list[Saved]) -> list[Saved]:
    """Checkpoints of one name, from several trainings, take their parent folder's before it."""
    names = [saved.name for saved in found]
    longer = [
        replace(saved, name=f"{Path(saved.source).resolve().parent.name}-{saved.name}")
        if names.count(saved.name) > 1
        else saved
        for saved in found
    ]
    for saved in longer:
        if [other.name for other in longer].count(saved.name) > 1:
            raise MarginError(f"checkpoint {saved.name} stands twice: name each once")
    return longer
