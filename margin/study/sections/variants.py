"""Margins by variant: what each is called, and the variants side by side."""

from __future__ import annotations

import pandas as pd

from margin.study.table import intervals

VARIANTS = {"leave_prompt_out": "leave-prompt-out", "prompt_centred": "prompt-centred", "plain": "plain"}


def by_variant(lines: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """One line a key instead of one a key and variant, of lines with the columns of an estimate."""
    found: dict[tuple[object, ...], dict[str, object]] = {}
    for *key, variant, cell in zip(
        *(lines[name] for name in keys), lines["variant"], intervals(lines), strict=True
    ):
        found.setdefault(tuple(key), dict(zip(keys, key, strict=True)))[VARIANTS[variant]] = cell
    frame = pd.DataFrame(list(found.values()))
    return frame[[*keys, *(name for name in VARIANTS.values() if name in frame)]]
