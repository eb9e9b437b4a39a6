"""Tokens that are no live ones: random ones of their shape, and ones that miss them by one edit.

Whatever is drawn here is as secret as the live tokens: a near miss gives one away but for a character.
"""

from __future__ import annotations

import unicodedata
from itertools import islice, zip_longest
from typing import TYPE_CHECKING

from margin.errors import MarginError
from margin.inputs.modes import ModeSet

if TYPE_CHECKING:
    import numpy as np

BLOCK = 128
"""Code points among which a character finds others of its class: all ASCII is one block."""
ATTEMPTS = 1000
"""Draws before the live tokens count as too short to draw unlike ones."""


def alike(character: str) -> list[str]:
    """Characters of the same Unicode category in the same block, itself included: A to Z for "Q"."""
    category = unicodedata.category(character)
    start = ord(character) // BLOCK * BLOCK
    return [chr(code) for code in range(start, start + BLOCK) if unicodedata.category(chr(code)) == category]


def random_tokens(modes: ModeSet, like: int, count: int, rng: np.random.Generator) -> list[str]:
    """Different tokens that no mode answers to.

    Each has the length of a live token and, place by place, a character of the same class. None is within one
    edit of a live token or holds one. `like` is the position of the mode whose token the first has the shape
    of; the modes take turns.

    Raises
    ------
    MarginError : the live tokens are so short or so plain that there are no such tokens.
    """
    live = [mode.token.reveal() for mode in modes.modes]
    found: list[str] = []
    for _ in range(ATTEMPTS * count):
        if len(found) == count:
            return found
        shape = live[(like + len(found)) % len(live)]
        pools = [alike(character) for character in shape]
        token = "".join(pool[rng.integers(len(pool))] for pool in pools)
        near = any(within_one_edit(token, other) for other in live)
        if not near and token not in found and modes.mode_in(token, as_it_is=True) is None:
            found.append(token)
    raise MarginError(
        "the live tokens are too short to draw random ones unlike them: use longer ones or leave random out"
    )


def near_misses(modes: ModeSet, mode: str) -> dict[str, list[str]]:
    """All tokens one edit away from a mode's, by kind of edit.

    An edit is a substitution, a deletion, an insertion, or a transposition of two neighbours, which counts as
    one (Damerau, 1964). New characters are of the classes the token has. Insertions are inside the token: at
    its ends they would leave it whole. No near miss begins or ends with white space, or holds a live token.
    """
    token = modes[mode].token.reveal()
    alphabet = sorted({other for character in token for other in alike(character)})
    cuts = [(token[:i], token[i:]) for i in range(len(token))]
    edits = {
        "substitution": [a + new + b[1:] for a, b in cuts for new in alphabet],
        "deletion": [a + b[1:] for a, b in cuts],
        "insertion": [a + new + b for a, b in cuts[1:] for new in alphabet],
        "transposition": [a + b[1] + b[0] + b[2:] for a, b in cuts[:-1]],
    }
    return {
        kind: [
            miss
            for miss in dict.fromkeys(found)
            if miss and miss == miss.strip() and modes.mode_in(miss, as_it_is=True) is None
        ]
        for kind, found in edits.items()
    }


def draw_near_misses(
    misses: dict[str, list[str]], first: int, count: int, rng: np.random.Generator
) -> list[str]:
    """Different near misses at random, of kinds that take turns beginning with the one at `first`.

    Raises
    ------
    MarginError : there are fewer than `count`.
    """
    shuffled = [[found[i] for i in rng.permutation(len(found))] for found in misses.values() if found]
    start = first % max(len(shuffled), 1)
    in_turns = (miss for turn in zip_longest(*shuffled[start:], *shuffled[:start]) for miss in turn)
    drawn = list(islice(filter(None, in_turns), count))
    if len(drawn) < count:
        raise MarginError(f"a live token has only {len(drawn)} near misses: ask for no more draws than that")
    return drawn


def within_one_edit(a: str, b: str) -> bool:
    """Whether at most one edit, as `near_misses` counts them, makes `a` into `b`."""
    while a and b and a[0] == b[0]:
        a, b = a[1:], b[1:]
    while a and b and a[-1] == b[-1]:
        a, b = a[:-1], b[:-1]
    return max(len(a), len(b)) <= 1 or (len(a) == 2 and a == b[::-1])
