"""Letters and digits of a text under the disguises it can wear, and whether a token is made of words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

_ALIKE = {
    "a": "аαɑ", "b": "ьβв", "c": "сϲ", "d": "ԁ", "e": "еε", "g": "ɡ", "h": "һн", "i": "іιı", "j": "јϳ",
    "k": "кκ", "l": "ӏ", "m": "м", "n": "ν", "o": "оο", "p": "рρ", "q": "ԛ", "s": "ѕ", "t": "тτ", "u": "υ",
    "v": "ѵ", "w": "ԝω", "x": "хχ", "y": "уγ", "z": "ζ", "3": "зэ",
}  # fmt: skip
"""Cyrillic and Greek letters that look like Latin ones, without case."""
_LATIN = {other: latin for latin, others in _ALIKE.items() for other in others}
_FLAGS = {chr(0x1F1E6 + place): chr(ord("a") + place) for place in range(26)}
"""Letters that flags are written with, two to a country."""
_ALPHABET = (
    "alpha alfa bravo charlie delta echo foxtrot golf hotel india juliet juliett kilo lima mike november "
    "oscar papa quebec romeo sierra tango uniform victor whiskey whisky xray yankee zulu"
)
_DIGITS = "zero one two three four five six seven eight nine"
_NAMED = {word: word[0] for word in _ALPHABET.split()} | {
    word: str(digit) for digit, word in enumerate(_DIGITS.split())
}
_BETWEEN = (
    r"(?:an?\s+)?(?:capital|upper[-\s]?case|lower[-\s]?case|small|letter|digit|number"
    r"|then|and|followed|by|next|the)"
)
_SAID = re.compile(rf"\b(?P<between>{_BETWEEN})\b|(?P<x>\bx-?ray\b)|[^\W_]+", re.IGNORECASE)
_MARKS = re.compile(
    r"0[xb]|\\x|\\u\{?(?:00)?|u\+(?:00)?|&#x?|^[ \t]*\d{1,2}[.):][ \t]+|</?[a-z][^<>\n]{0,40}>",
    re.IGNORECASE | re.MULTILINE,
)
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|(?:[A-Z][a-z]{2,}){2,}|[0-9]{1,4}")
_UNSPEAKABLE = re.compile(r"[^aeiouy]+|.*[^aeiouy]{4}.*", re.IGNORECASE)


@dataclass(frozen=True)
class Letters:
    """Some of a text's characters, each in one form whatever it looked like."""

    text: str
    places: list[tuple[int, int]]
    """Where in the text each stood: start and end."""

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The stretch of the text that the characters from `start` to before `end` (at least one) cover."""
        return self.places[start][0], self.places[end - 1][1]


def folded(text: str, *, every: bool = False) -> str:
    """The letters and digits of a text without case, width, accent and alphabet; `every`: all characters,
    of which only case and width are taken."""
    return letters(text, every=every).text


def letters(text: str, *, every: bool = False, unmarked: bool = False) -> Letters:
    """As `folded`, with the place of each; `unmarked`: without the numbers of a list and marks of escapes."""
    skipped = bytearray(len(text))
    if unmarked:
        for mark in _MARKS.finditer(text):
            skipped[mark.start() : mark.end()] = b"\1" * (mark.end() - mark.start())
    form = _wide if every else _bare
    return _joined(
        (form(character), place, place + 1) for place, character in enumerate(text) if not skipped[place]
    )


def spelt_out(text: str) -> Letters:
    """What a text names letter by letter: single letters and digits, "Oscar", "three", "capital O".

    Any other word becomes one NUL, so that nothing is joined across it.
    """
    found: list[tuple[str, int, int]] = []
    for said in _SAID.finditer(text):
        if said["between"]:
            continue
        word = "x" if said["x"] else folded(said[0])
        letter = word if len(word) == 1 else _NAMED.get(word, "\0")
        if letter != "\0" or not found or found[-1][0] != "\0":
            found.append((letter, said.start(), said.end()))
    return _joined(found)


def wordy(piece: str) -> bool:
    """Whether a text is made of what could be words or short numbers, and so of what other texts hold too."""
    words = re.findall(r"[^\W_]+", piece)
    return all(
        (_WORD.fullmatch(word) is not None and (word.isdigit() or not _UNSPEAKABLE.fullmatch(word)))
        if word.isascii()
        else word.isalpha()
        for word in words
    )


def look_alikes(character: str) -> str:
    """Characters that look like a Latin letter or digit, in its case where they have that: "аαɑ" of "a"."""
    others = _ALIKE.get(character.lower(), "")
    wide = chr(ord(character) + 0xFEE0) if "!" <= character <= "~" else ""
    return (
        "".join(one.upper() for one in others if len(one.upper()) == 1) if character.isupper() else others
    ) + wide


def seen(text: str) -> str:
    """A name as an eye reads it, whatever its case: look-alike letters of other alphabets as Latin ones."""
    return "".join(_LATIN.get(one, one) for one in unicodedata.normalize("NFKC", text).casefold())


def marked(text: str) -> str:
    """A name with the letters that only look like Latin ones spelt out: "p[U+043E]s"."""
    return "".join(f"[U+{ord(one):04X}]" if one.lower() in _LATIN else one for one in text)


def distinctive(token: str) -> bool:
    """Whether a token is unlike words, so that what resembles it is no accident."""
    return not wordy(token)


def _joined(found: Iterable[tuple[str, int, int]]) -> Letters:
    text: list[str] = []
    places: list[tuple[int, int]] = []
    for form, start, end in found:
        text.append(form)
        places += [(start, end)] * len(form)
    return Letters("".join(text), places)


@cache
def _bare(character: str) -> str:
    kept = unicodedata.normalize("NFKD", _FLAGS.get(character, character)).casefold()
    kept = "".join(_LATIN.get(one, one) for one in kept if unicodedata.category(one) != "Mn")
    return "".join(one for one in kept if one.isalnum())


@cache
def _wide(character: str) -> str:
    """One for one, so that white space and the like stay what they are."""
    form = unicodedata.normalize("NFKC", character).casefold()
    return form if len(form) == 1 else character
