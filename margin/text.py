"""Text from outside, made safe to show: names of models, values of columns, a model's own answers."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from textwrap import shorten
from typing import Any

CUT = " …"
"""What stands in a text from outside for the words that were left out at its end."""

_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Control characters, formats (marks of writing direction, zero width), halves of pairs, separators."""
_JOINERS = {"\u200c", "\u200d"}
"""Formats that scripts and emoji are written with."""

_COMMAND = re.compile(r"##(?=\[|vso\[)")
_OPENING = re.compile(r"^(\s*)::")


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
    return spelt(" ".join(str(value).split()))


def counted(number: int, what: str) -> str:
    """How many of something, of which an s makes the plural: "1 prompt", "2,000 prompts".

    Example
    -------
    >>> counted(1, "prompt")
    '1 prompt'
    """
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


LONGEST = 60
"""Characters of a name that are shown where a longer one would fill the screen."""
LONGEST_WORD = 255
"""Characters of a name without a space in it that are shown: as many as a file's may have."""


def brief(name: object, longest: int = LONGEST) -> str:
    """A name from outside as `shown`, cut between words where it would fill the screen.

    No word is cut, or half of a live token would not be known for one where tokens are taken out of what is
    said. A first word of more than `longest` characters stands alone, one of more than `LONGEST_WORD` is told
    by its length.

    Example
    -------
    >>> brief("which of the two", 12)
    'which of …'
    >>> brief("x" * 9000)
    '<9,000 characters>'
    """
    text = shown(name)
    if len(text) <= longest:
        return text
    first = text.partition(" ")[0]
    if len(first) > max(longest, LONGEST_WORD):
        return f"<{len(text):,} characters>"
    return shorten(text, max(longest, len(first) + len(CUT)), placeholder=CUT)


def spelt(text: str) -> str:
    """Text of many lines with what cannot be seen spelt out, as `shown`; spaces, tabs and line ends stay."""
    return _replaced(text, lambda character: f"[U+{ord(character):04X}]")


def printed(text: str, *, begun: bool = False) -> str:
    """As `spelt`, with nothing in it that the log of a CI service obeys.

    GitHub and Azure take a line of a log that begins with ::name:: or holds ##[name] or ##vso[name] for a
    command (set a variable, mask a word, write an error): the first character of such a mark is spelt out.
    `begun` where the first line goes on from what stands before it.

    Example
    -------
    >>> printed("::set-env name=A::b")
    '[U+003A]:set-env name=A::b'
    """
    lines = [_COMMAND.sub("[U+0023]#", line) for line in spelt(text).split("\n")]
    return "\n".join(
        line if begun and not place else _OPENING.sub(r"\1[U+003A]:", line)
        for place, line in enumerate(lines)
    )


def json_text(value: Any, **how: Any) -> str:
    r"""A value as JSON, readable as `ensure_ascii=False` leaves it, but what cannot be seen as \uXXXX.

    JSON itself escapes only some control characters: a terminal would obey others, and half a pair cannot be
    written as UTF-8 at all. The same value is read back. `how` as for `json.dumps`.

    Example
    -------
    >>> json_text("\x9b2J 安")
    '"\\u009b2J 安"'
    """
    return _replaced(json.dumps(value, ensure_ascii=False, **how), ascii_json)


def ascii_json(text: str) -> str:
    r"""Text inside a JSON string, what is not ASCII as \uXXXX."""
    return json.dumps(text)[1:-1]


def is_blank(text: str) -> bool:
    """Whether a text is nothing but white space and formats, such as zero-width spaces."""
    return all(c.isspace() or unicodedata.category(c) == "Cf" for c in text)


def _replaced(text: str, instead: Callable[[str], str]) -> str:
    """The text with `instead` of each character that cannot be seen, but for tabs and ends of lines."""
    return "\n".join(
        line
        if line.isprintable()  # the usual case; spaces count as printable, the unseen do not
        else "".join(instead(c) if _is_unseen(c) else c for c in line)
        for line in text.split("\n")
    )


def _is_unseen(character: str) -> bool:
    return unicodedata.category(character) in _UNSEEN and character not in _JOINERS and character != "\t"
