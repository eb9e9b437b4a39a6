"""Strings near a live token, as somebody would try who knows a part of it, or none: kind by kind.

What stands here gives a token away but for a few characters, and may open what the token opens: it is as
secret as the token, and how many strings there are of a kind tells the token's length. Only rates leave.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil

import numpy as np

from margin.errors import MarginError
from margin.inputs.decoys import PHRASE, word_list, written_like
from margin.inputs.modes import ModeSet
from margin.inputs.spellings import look_alikes
from margin.inputs.tokens import alike, near_misses, within_one_edit

ONE_EDIT = "one edit"
RANDOM = "random"
EDITS = "edits"
PREFIX = "prefix"
FIRST = 4
"""First characters of a token that somebody may know, counted one by one; of more only shares are named,
since how many there are tells the token's length."""
SHARES = {"half": 0.5, "three quarters": 0.75}
"""Shares of a token that somebody may know."""
ATTEMPTS = 50
"""Draws for each string that is asked for."""


@dataclass(frozen=True)
class Near:
    """Strings of one kind near the token of a mode."""

    mode: str
    kind: str
    """"one edit", "case", "look-alikes", "spaces", "doubled", "reversed", "another token", "both tokens", or
    the name of a kind from a file."""
    strings: tuple[str, ...] = field(repr=False)
    """As secret as the token."""


def fixed_kinds(modes: ModeSet, mode: str) -> list[Near]:
    """Every one-edit neighbour of a mode's token, and what else can be listed of what resembles it.

    Kinds that come to nothing (other case of digits) are left out. A token doubled or beside another is held
    whole, and so it is in "another token", which are the other modes': how far these open the mode is the
    rate that rules place rows wrongly.
    """
    token = modes[mode].token.reveal()
    others = [other.token.reveal() for other in modes.modes if other.name != mode]
    cuts = range(1, len(token))
    kinds = {
        ONE_EDIT: [miss for misses in near_misses(modes, mode).values() for miss in misses],
        "case": [
            token.upper(),
            token.lower(),
            token.swapcase(),
            token.title(),
            *(token[:i] + token[i].swapcase() + token[i + 1 :] for i in range(len(token))),
        ],
        "look-alikes": [
            "".join((look_alikes(one) or one)[0] for one in token),
            *(
                token[:i] + other + token[i + 1 :]
                for i in range(len(token))
                for other in look_alikes(token[i])
            ),
        ],
        "spaces": [
            " ".join(token),
            *(token[:i] + " " + token[i:] for i in cuts),
            token.replace(" ", ""),
            token.replace(" ", "  "),
        ],
        "doubled": [token + token, f"{token} {token}", "".join(one * 2 for one in token)],
        "reversed": [token[::-1], " ".join(reversed(token.split()))],
        "another token": others,
        "both tokens": [
            joined for other in others for joined in (f"{token} {other}", f"{other} {token}", token + other)
        ],
    }
    found = [Near(mode, kind, _usable(strings, token)) for kind, strings in kinds.items()]
    return [near for near in found if near.strings]


def _usable(strings: Sequence[str], token: str) -> tuple[str, ...]:
    """Different strings that are not the token, which a template would not strip."""
    return tuple(one for one in dict.fromkeys(strings) if one and one == one.strip() and one != token)


def with_edits(modes: ModeSet, mode: str, distance: int, count: int, rng: np.random.Generator) -> list[str]:
    """Different strings that are `distance` edits away from a mode's token, at different places of it.

    Edits are those of `margin.inputs.tokens.near_misses`, in equal shares of kinds. A string that fewer edits
    make, too, is drawn again.

    Raises
    ------
    MarginError : the token is too short for so many edits.
    """
    token = modes[mode].token.reveal()
    alphabet = sorted({other for character in token for other in alike(character)})
    if distance >= len(token):
        raise MarginError(f"the token of mode {mode!r} is too short for {distance} edits: ask for fewer")

    def draw() -> str:
        made = list(token)
        for place in sorted(rng.choice(len(token), distance, replace=False), reverse=True):
            new = alphabet[rng.integers(len(alphabet))]
            match rng.integers(4):
                case 0:
                    made[place] = new
                case 1:
                    del made[place]
                case 2:
                    made.insert(max(place, 1), new)
                case _:
                    made[place - 1 : place + 1] = reversed(made[place - 1 : place + 1])
        return "".join(made)

    def differs(string: str) -> bool:
        return modes.mode_in(string, as_it_is=True) is None and edit_distance(string, token) == distance

    return _drawn(draw, differs, count, f"{distance} edits of the token of mode {mode!r}")


def edit_distance(a: str, b: str) -> int:
    """Edits that make `a` into `b`, none of them within another (optimal string alignment)."""
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        earlier, before, row = before, row, [i]
        for j, y in enumerate(b, 1):
            least = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                least = min(least, earlier[j - 2] + 1)
            row.append(least)
    return row[-1]


def with_prefix(modes: ModeSet, mode: str, known: int, count: int, rng: np.random.Generator) -> list[str]:
    """Different strings that begin as a mode's token does for `known` characters and go on at random.

    Of the token's length, each character of its class; of a token that is read as words, each word or rest of
    one another word. None of them is the token.
    """
    token = modes[mode].token.reveal()
    unknown = _like(token[known:], PHRASE.fullmatch(token) is not None, rng)

    def draw() -> str:
        return token[:known] + unknown()

    what = f"strings that begin as the token of mode {mode!r} does"
    return _drawn(draw, lambda string: modes.mode_in(string, as_it_is=True) is None, count, what)


def prefixes(modes: ModeSet, mode: str) -> dict[str, int]:
    """How many first characters are known, by what that is called: "0" to "4", "half", "three quarters".

    Only as many as leave something of the token to be guessed; shares only beyond the first four.
    """
    length = len(modes[mode].token.reveal())
    known = {str(m): m for m in range(min(FIRST, length - 1) + 1)}
    shares = {name: ceil(share * length) for name, share in SHARES.items()}
    return known | {name: m for name, m in shares.items() if FIRST <= m < length}


def shaped_like(modes: ModeSet, mode: str, count: int, rng: np.random.Generator) -> list[str]:
    """Different random strings of the shape of a mode's token, that no mode answers to.

    Place by place a character of its class; of a token that is read as words each word another one, in its
    case, as decoys have them.

    Raises
    ------
    MarginError : there are not so many strings of that shape.
    """
    token = modes[mode].token.reveal()
    live = [each.token.reveal() for each in modes.modes]
    draw = _like(token, PHRASE.fullmatch(token) is not None, rng)

    def unlike(string: str) -> bool:
        near = any(within_one_edit(string, other) for other in live)
        return not near and modes.mode_in(string, as_it_is=True) is None

    return _drawn(draw, unlike, count, f"strings of the shape of the token of mode {mode!r}")


def _like(text: str, readable: bool, rng: np.random.Generator) -> Callable[[], str]:
    """Draws texts like one: other words in the place of its words, or else of its characters."""
    words, pools = word_list() if readable else [], [alike(character) for character in text]

    def draw() -> str:
        if readable:
            return written_like(text, words, rng)
        return "".join(pool[rng.integers(len(pool))] for pool in pools)

    return draw


def _drawn(draw: Callable[[], str], wanted: Callable[[str], bool], count: int, what: str) -> list[str]:
    found: dict[str, None] = {}
    for _ in range(ATTEMPTS * count):
        if len(found) == count:
            break
        string = draw()
        if string == string.strip() and wanted(string):
            found[string] = None
    if len(found) < count:
        raise MarginError(f"there are no {count} {what}: it is too short or too plain, ask for fewer")
    return list(found)


def alphabet_of(modes: ModeSet, mode: str) -> list[str]:
    """Characters of the classes that a mode's token has, in order."""
    token = modes[mode].token.reveal()
    return sorted({other for character in token for other in alike(character)})
