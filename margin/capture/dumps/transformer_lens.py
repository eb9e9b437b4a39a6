"""TransformerLens: the files of its solver `capture_activations`, in a folder for each condition.

`CONDITION/PROMPT_epoch1.npz` holds arrays by the names of hooks, (tokens, d) or (1, tokens, d). Of these
`blocks.I.hook_out`, the output of block I from 0, is read, and `blocks.I.hook_resid_post`, which is its older
name; files of the latter that were saved by hand as safetensors are read as well. What comes after the final
norm is not: TransformerLens folds the norm's weights into the head, so that it is another state.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from margin.capture.dumps.dump import Dump, Key, Name, stacked
from margin.errors import MarginError, foreign

ENGINE = "transformer-lens"
SUFFIXES = {".npz", ".safetensors"}
_HOOK = re.compile(r"blocks\.(\d+)\.hook_(?:out|resid_post)")
_EPOCH = re.compile(r"_epoch\d+$")


def fits(path: Path) -> bool:
    """Whether it is a folder of folders of arrays."""
    return path.is_dir() and bool(_files(path))


def read(path: Path, layers: Sequence[int] | None) -> Dump:
    """The states of each file's last token, of every block's output in it."""
    if layers is not None:
        raise MarginError(f"{path} names its layers itself (blocks.I): leave --dump-layers out")
    files = _files(path)
    keys: list[Key] = []
    parts: dict[int, list[Tensor]] = {}
    for file in files:
        keys.append(Name(_EPOCH.sub("", file.stem), file.parent.name))
        for layer, values in _blocks(file).items():
            if values.ndim == 3 and len(values) == 1:
                values = values[0]
            if values.ndim != 2 or not len(values):
                raise MarginError(f"{file}: states of shape {tuple(values.shape)}: (tokens, width) is known")
            parts.setdefault(layer, []).append(values[-1].clone())
    if not parts or any(len(its) != len(files) for its in parts.values()):
        raise MarginError(f"{path}: not every file holds the same blocks.I.hook_out, or none does")
    by_layer = {layer: stacked(its, str(path)) for layer, its in parts.items()}
    places = [f"{file.parent.name}/{file.name}" for file in files]
    return Dump(ENGINE, path, keys, places, by_layer)


def _blocks(file: Path) -> dict[int, Tensor]:
    with foreign(f"{file} cannot be read"):
        if file.suffix == ".npz":
            with np.load(file, allow_pickle=False) as stored:
                found = {
                    name: torch.from_numpy(stored[name]) for name in stored.files if _HOOK.fullmatch(name)
                }
        else:
            with safe_open(file, framework="pt") as tensors:
                names = [name for name in tensors.keys() if _HOOK.fullmatch(name)]  # noqa: SIM118
                found = {name: tensors.get_tensor(name) for name in names}
    return {int(_HOOK.fullmatch(name)[1]) + 1: values for name, values in found.items()}  # type: ignore[index]


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.glob("*/*") if file.suffix in SUFFIXES)
