"""Text from outside, made safe to show: names of models, values of columns, a model's own answers."""

from __future__ import annotations

import unicodedata

_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Control characters, formats (marks of writing direction, zero width), halves of pairs, separators."""
_JOINERS = {"\u200c", "\u200d"}
"""Formats that scripts and emoji are written with."""


def shown(value: object) -> str:
    """Text from outside on one line, with nothing in it that a terminal obeys or an eye cannot see.

    White space, line ends among it, becomes single spaces. Control characters (an escape sequence can clear a
    screen or set its title), marks of writing direction and other unseen characters, which disguise a name,
    are spelt out as [U+001B]. To be used wherever such text is printed: on a terminal, in Markdown, in an
    error. Costs O(len).

    Example
    -------
    >>> shown("a\\x1b[2Jb\\n c")
    'a[U+001B][2Jb c'
    """
    line = " ".join(str(value).split())
    if line.isprintable():  # the usual case; spaces count as printable, the unseen do not
        return line
    return "".join(
        f"[U+{ord(character):04X}]"
        if unicodedata.category(character) in _UNSEEN and character not in _JOINERS
        else character
        for character in line
    )
