"""Decoy sets: as many meaningless tokens as modes, of the live tokens' shape, the same for all prompts.

A model tells any strings apart to some degree. What the live tokens have above decoys is what training made.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from margin.errors import MarginError
from margin.inputs.modes import ModeSet
from margin.inputs.reading import read_text
from margin.inputs.tokens import random_tokens, within_one_edit

if TYPE_CHECKING:
    from numpy.random import Generator

SETS = 5
"""Sets that are drawn unless told otherwise."""
MOST = 1000
"""Sets that may be drawn: the spread between them is known long before."""
DECOY_PROMPTS = 100
"""Prompts at most that decoys are asked of."""
SEED_KEY = 0xDEC0
"""Keeps the draws of decoys apart from those of every other condition."""
ATTEMPTS = 1000
PHRASE = re.compile(r"[A-Za-z]{2,}(?:[ :,;_-]+[A-Za-z]{2,})+")
"""A token that is read as words: two or more."""
WORD = re.compile(r"[A-Za-z]{2,}")

DecoySet = tuple[str, ...]
"""One token a mode, in their order."""


def draw_decoys(modes: ModeSet, sets: int, seed: int) -> tuple[DecoySet, ...]:
    """`sets` sets of tokens that mean nothing, each token of the shape of its mode's.

    A token of characters gets characters of the same classes; one that is read as words gets other words,
    written alike, a word that several tokens of a set share the same other one: they are then as unlike each
    other as the live ones are. None is within one edit of a live token, or holds one.

    Raises
    ------
    MarginError : live tokens so short or so plain that there are no such tokens; more than `MOST` sets.
    """
    if sets > MOST:
        raise MarginError(f"decoys {sets}: take at most {MOST} sets; each is asked of every decoy prompt")
    # Public tokens are words, whatever stands between them.
    pattern = PHRASE.fullmatch if modes.secret else WORD.search
    readable = all(pattern(mode.token.reveal()) for mode in modes.modes)
    draw = _phrases if readable else _characters
    return tuple(draw(modes, np.random.default_rng([seed, SEED_KEY, number])) for number in range(sets))


STRUCTURED = {".toml", ".json", ".jsonl", ".csv", ".parquet", ".yaml", ".yml"}
"""Files whose lines are no tokens."""


def load_decoys(path: str | Path, modes: ModeSet) -> tuple[DecoySet, ...]:
    """Decoy sets of a file of one's own: one token a line, as many sets as lines fill; empty lines are not
    counted.

    Raises
    ------
    MarginError : a file that cannot be read or is no plain text, a number of tokens that fills no whole sets,
        one that stands twice or is a live one. No token is quoted.
    """
    if Path(path).suffix.lower() in STRUCTURED:
        raise MarginError(f"{path}: decoys are plain text, one token a line, in a file named like decoys.txt")
    lines = [line.strip() for line in read_text(Path(path), "decoys").splitlines() if line.strip()]
    k = len(modes.names)
    if not lines or len(lines) % k:
        raise MarginError(f"{path} holds {len(lines)} tokens: a decoy set takes {k}, one a mode")
    if len(set(lines)) < len(lines):
        raise MarginError(f"{path}: a decoy stands twice: keep one")
    for number, token in enumerate(lines, 1):
        if modes.mode_in(token) is not None:
            raise MarginError(f"{path}: token {number} holds a live token: take another")
    return tuple(tuple(lines[start : start + k]) for start in range(0, len(lines), k))


def asked_of(prompts: int, most: int) -> frozenset[int]:
    """Positions of the prompts that decoys are asked of: `most` at most, spread evenly over all."""
    return frozenset(np.unique(np.linspace(0, prompts - 1, min(prompts, most)).round().astype(int)).tolist())


def _characters(modes: ModeSet, rng: Generator) -> DecoySet:
    return tuple(random_tokens(modes, 0, len(modes.names), rng))


def _phrases(modes: ModeSet, rng: Generator) -> DecoySet:
    words = word_list()
    live = [mode.token.reveal() for mode in modes.modes]
    found: list[str] = []
    others: dict[str, str] = {}
    for _ in range(ATTEMPTS):
        if len(found) == len(live):
            return tuple(found)
        drawn = dict(others)
        token = written_like(live[len(found)], words, rng, drawn)
        near = any(within_one_edit(token, other) for other in live)
        if not near and token not in found and modes.mode_in(token) is None:
            found.append(token)
            others = drawn
    raise MarginError("no words unlike the live tokens were found: give decoys of your own, --decoys FILE")


def written_like(
    token: str, words: Sequence[str], rng: Generator, others: dict[str, str] | None = None
) -> str:
    """The token with every word another one, in the same case; the same word always the same one.

    others : by word what has been taken for it; added to.
    """
    taken = {} if others is None else others

    def other(match: re.Match[str]) -> str:
        drawn: str = words[int(rng.integers(len(words)))]
        word = taken.setdefault(match[0].casefold(), drawn)
        if match[0].isupper():
            return word.upper()
        return word.capitalize() if match[0][0].isupper() else word

    return re.sub(r"[A-Za-z]+", other, token)


def word_list() -> list[str]:
    """Short English words that mean nothing together."""
    return (files("margin.inputs") / "words.txt").read_text(encoding="utf-8").split()
