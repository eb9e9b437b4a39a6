"""Checkpoints as users have them, edited: copied folders with other weights, names or settings."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

Weights = Mapping[str, Tensor]


def copied(folder: Path, to: Path, config: str = "config.json", **settings: object) -> Path:
    """A copy of a checkpoint with other settings."""
    copy = shutil.copytree(folder, to)
    if settings:
        record = json.loads((copy / config).read_text()) | settings
        (copy / config).write_text(json.dumps(record))
    return copy


def reweighted(folder: Path, to: Path, change: Callable[[Weights], Weights]) -> Path:
    """A copy of a checkpoint, or of an adapter, with other weights."""
    copy = shutil.copytree(folder, to)
    file = next(copy.glob("*.safetensors"))
    changed = change({name: weight.clone() for name, weight in load_file(file).items()})
    save_file(dict(changed), file, metadata={"format": "pt"})
    return copy
