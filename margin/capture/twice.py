"""Weights that stand twice in a checkpoint: transformers keeps the last it comes to and says nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from safetensors import safe_open

from margin.capture.folder import INDEX
from margin.errors import MarginError, foreign
from margin.inputs.reading import parse_json, read_text
from margin.text import shown

Place = tuple[Path, str]
"""A file, and the name of a weight in it."""
_LEGACY = (
    (re.compile(r"\bLayerNorm\.gamma$"), "LayerNorm.weight"),
    (re.compile(r"\bLayerNorm\.beta$"), "LayerNorm.bias"),
)
"""Names of the past, and what transformers takes them for."""


def require_once(source: str, files: Iterable[Path], part: str) -> None:
    """MarginError, naming them, where two weights of different values are meant for one place of the model.

    That is one name in two shards, or a name with and without `part`: of a checkpoint that under which a
    model with a head holds its body (`base_model_prefix`), of an adapter what it was called in training. A
    file was then saved on top of another. Costs the names; where some stand twice, reading these.
    """
    places: dict[str, list[Place]] = {}
    what = f"{source} cannot be loaded"
    for path in files:
        with foreign(what), safe_open(path, framework="pt") as file:
            names = list(file.keys())
        for name in names:
            places.setdefault(_meant(name, part), []).append((path, name))
    for first, *others in places.values():
        for other in others:
            if not _equal(first, other, what):
                raise MarginError(
                    f"{source} holds two different weights for one place, {_said(first, other)}: remove "
                    "those that are not the model's"
                )


def loaded_files(folder: Path, named: str | None = None) -> list[Path]:
    """The files of weights in a folder that transformers reads."""
    path = folder / (named or "model.safetensors")
    if named is None and not path.is_file():
        path = folder / INDEX
    if path.name.endswith(".index.json") and path.is_file():
        shards = parse_json(read_text(path, "index"), str(path))["weight_map"].values()
        return [folder / name for name in sorted(set(shards))]
    return [path] if path.is_file() else []


def _meant(name: str, part: str) -> str:
    for old, new in _LEGACY:
        name = old.sub(new, name)
    return name.removeprefix(f"{part}.").replace(f".{part}.", ".") if part else name


def _equal(one: Place, other: Place, what: str) -> bool:
    values = []
    for path, name in (one, other):
        with foreign(what), safe_open(path, framework="pt") as file:
            values.append(file.get_tensor(name))
    return values[0].shape == values[1].shape and bool(values[0].equal(values[1].to(values[0].dtype)))


def _said(one: Place, other: Place) -> str:
    (path, name), (there, twin) = one, other
    if name == twin:
        return f"{shown(name)} in {shown(path.name)} and in {shown(there.name)}"
    return f"{shown(name)} and {shown(twin)}"
