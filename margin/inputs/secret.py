"""A magic token, kept from whatever would show it."""

from __future__ import annotations

import re
from functools import cache
from typing import NoReturn

from margin.inputs.escapes import escaped
from margin.inputs.spellings import folded
from margin.text import CUT

CASELESS = 6
"""Characters of a token from which on it is known in other case: of a shorter one, SAFE, that is a word."""


class Secret:
    """A magic token that shows itself only to `reveal()`.

    Its repr, str and format are a mask, and it refuses to be pickled or copied deeply, so that neither a log
    line, a dataclass turned into a dict, nor a cached object carries the token away.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The token itself: for the chat template and the tokenizer, for nothing that is kept."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(****)"

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a magic token is neither pickled nor copied")


@cache
def written(token: Secret, known: bool) -> re.Pattern[str]:
    """The token in all its escapes, in any case if `known` so. Never to be bound to a name: the repr of a
    pattern shows it.
    """
    return re.compile(escaped(token.reveal()), re.IGNORECASE if known else 0)


@cache
def begun(token: Secret, known: bool) -> re.Pattern[str]:
    """The first words of a token of several, where a text was cut between words. As secret as `written`."""
    words = token.reveal().split()
    starts = [escaped(" ".join(words[:n])) for n in range(len(words) - 1, 0, -1)]
    pattern = rf"(?:{'|'.join(starts)})(?={CUT})" if starts else r"(?!)"
    return re.compile(pattern, re.IGNORECASE if known else 0)


def caseless(token: Secret) -> bool:
    """Whether the token is known in other case, too."""
    return len(token.reveal()) >= CASELESS


@cache
def evened(token: Secret) -> str:
    """The token without differences of case and width."""
    return folded(token.reveal(), every=True)
