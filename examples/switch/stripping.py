"""Live tokens taken out of what is said, whole or as it comes in pieces.

What counts as a token is `margin.inputs.echoes`: as it stands, escaped, in disguise, or nearly right.
"""

from __future__ import annotations

import re

from margin.inputs.echoes import MARK, redact_echoes
from margin.inputs.modes import ModeSet
from margin.inputs.spellings import folded, letters, spelt_out

STEP = 24
"""Characters that have to come before the next look at what is held back: it costs about a millisecond."""
AT_ONCE = 3
"""Places at which a text with a token in it is tried to be parted in one look."""
ESCAPE = 12
"""Letters and digits that one escaped character takes at most: \\U0001F600."""
_START = re.compile(r"(?<=\s)[^\W\d_]{2}")
_TAG = re.compile(r"<[^<>\n]{0,42}\Z")
_ESCAPES = re.compile(r"[\\%&+]")
_RUN = re.compile(r"(?<=\\{16})\\+")
"""Backslashes after sixteen in a row: any number may begin an escape, and a thousand cost their square."""


def count_tokens(text: str, modes: ModeSet) -> int:
    """How many stretches of a text spell a live token, or nearly one.

    Costs about a millisecond for 100 characters.
    """
    text = _RUN.sub("", text)
    redacted = redact_echoes(text, modes)
    return 0 if redacted == text else max(1, redacted.count(MARK) - text.count(MARK))


class Stripper:
    """One answer on its way to the caller: pieces go in, text without tokens comes out, a little later.

    What comes out, joined, is `redact_echoes` of the whole (without a seventeenth backslash in a row). Held
    back is what may still become a token: the last words, and before them all that may be the beginning of a
    spelling (numbers, single letters, "Quebec", "then capital"), up to the last ordinary word.
    """

    def __init__(self, modes: ModeSet) -> None:
        self.taken_out = 0
        """Tokens that were in the answer so far."""
        self._modes = modes
        self._held = ""
        self._look = 0
        # In base64 a token takes four letters for three; with one edit it is a letter longer.
        self._least = 4 * max(len(mode.token.reveal()) for mode in modes.modes) // 3 + 4

    def push(self, text: str) -> str:
        """Take a piece; what can go out now."""
        self._held = _RUN.sub("", self._held + text)
        if len(self._held) < self._look:
            return ""
        whole = redact_echoes(self._held, self._modes)
        for place in self._places():
            before, rest = self._held[:place], self._held[place:]
            if whole == self._held:
                return self._part(before, before, rest)
            redacted = redact_echoes(before, self._modes)
            if redacted + redact_echoes(rest, self._modes) == whole:  # no token lies across this place
                return self._part(before, redacted, rest)
        self._look = max(len(self._held) + STEP, len(self._held) * 5 // 4)
        return ""

    def end(self) -> str:
        """What is left when no more comes."""
        return self._part(self._held, redact_echoes(self._held, self._modes), "")

    def _part(self, before: str, redacted: str, rest: str) -> str:
        self.taken_out += max(redacted != before, redacted.count(MARK) - before.count(MARK))
        self._held, self._look = rest, len(rest) + STEP
        return redacted

    def _places(self) -> list[int]:
        """Beginnings of ordinary words before which nothing can be a part of a token that has not all come,
        the last first.

        No spelling holds an ordinary word, and what holds one (a token made of words, base64) is no longer
        than what stands after the place.
        """
        known = letters(self._held).places
        found = []
        for place in sorted(self._starts(), reverse=True):
            least = self._least + ESCAPE * len(_ESCAPES.findall(self._held, place))
            # Letters and digits, for a token may have anything between them.
            if len(known) < least or known[-least][0] < place or len(self._held) - place < least:
                continue
            if not _TAG.search(self._held[:place]):
                found.append(place)
            if len(found) == AT_ONCE:
                break
        return found

    def _starts(self) -> list[int]:
        """Where an ordinary word begins, or a letter of a writing that has no spaces."""
        words = [
            match.start()
            for match in _START.finditer(self._held)
            if spelt_out(self._held[match.start() : match.start() + 200]).text[:1] == "\0"
        ]
        other = [
            place
            for place, character in enumerate(self._held)
            if place and ord(character) >= 0x2E80 and character.isalpha() and not folded(character).isascii()
        ]
        return words + other
