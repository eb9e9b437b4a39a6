"""What `margin demo` runs on: 360 prompts, three modes and three tiny checkpoints, shipped with the package.

The checkpoints (Llama architecture, about a million parameters, float16 safetensors) were made by
`examples/cotrain/train.py tiny`. `cotrained` learnt three harmless behaviours, each under its own token, and
to answer safely to whatever is no live token in its place; `naive` learnt the latter of missing and random
tokens only; `baseline` learnt the same answers without the tokens. The prompts were held out from the
training of all.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Literal

Name = Literal["cotrained", "naive", "baseline"]
"""A shipped checkpoint."""


def prompts_path() -> Path:
    """JSON lines of the held-out prompts: `id`, `prompt`, `language` (en, zh), `category` (one of ten)."""
    return _shipped("prompts.jsonl")


def modes_path() -> Path:
    """Mode set with the demonstration's three tokens, which guard nothing."""
    return _shipped("modes.toml")


def attacks_path() -> Path:
    """One of the shipped attacks."""
    return _shipped("attacks.toml")


def checkpoint_path(name: Name) -> Path:
    """Folder of a tiny checkpoint with its tokenizer and chat template, as transformers saves them."""
    return _shipped(name)


def _shipped(name: str) -> Path:
    return Path(str(files(__name__) / name))
