"""What a model said, without the tokens it was told: answers may repeat the system prompt, in disguise."""

from __future__ import annotations

import base64
import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from margin.inputs.modes import ModeSet
from margin.inputs.spellings import Letters, distinctive, folded, letters, spelt_out, wordy
from margin.inputs.tokens import within_one_edit

MARK = "[token]"
"""What stands in an answer where a token stood."""
LONG = 6
"""Characters a token has at least for its near misses to be taken out, too: else words would be."""
PIECE = 5
"""Characters in a row that give a token away, where no word is made of them; of one of eight or fewer, 4."""

Span = tuple[int, int]


@dataclass(frozen=True)
class _Views:
    """One text, read in several ways; a match in any of them is a stretch of the text."""

    text: str
    whole: Letters
    """Every character, without case and width."""
    bare: Letters
    """Letters and digits only: what stands between them, an accent or a space, is passed over."""
    unmarked: Letters
    """These without the numbers of a list and the marks of escapes (0x, \\x, %, &#)."""
    spelt: Letters
    """What is named letter by letter: "capital O", "Whiskey", "three"."""


def redact_echoes(text: str, modes: ModeSet) -> str:
    """`text` with `MARK` for every live token, however it is spelt, and for what gives most of one away.

    Taken out are a token as it stands, escaped (Python, JSON, HTML, URL), in other case, width or alphabet
    (look-alikes), and, of tokens with `LONG` letters and digits or more, one that is spaced out, put on lines
    or into a list, named letter by letter (NATO), reversed, in base64, hexadecimal, code points, bits or
    ROT13, what is one edit from it (a near-miss control told to the model), and its beginning where the text
    ends in the middle of it (an answer that was cut). Of tokens that are not made of words also any `PIECE`
    characters in a row. Words stay that only resemble a token made of words.

    What no list can hold stays: a token described, translated, or in a cipher of the model's own. To be
    called before generated text is kept, shown or judged. Public tokens stay: their words are words. Costs
    O(len(text)) a mode but near a token.
    """
    if not modes.secret:
        return text
    for mode in modes.modes:
        text = text.replace(f"[token of {mode.name}]", MARK)  # said by chance: not to be told from redaction
    text = modes.redact(text)
    for mode in modes.modes:
        text = text.replace(f"[token of {mode.name}]", MARK)
    views = _views(text)
    spans = [span for mode in modes.modes for span in _echoes(views, mode.token.reveal())]
    return _without(text, spans)


def given_away(label: str, modes: ModeSet) -> str | None:
    """Name of the first mode whose live token a name or a value of a column gives away, or None.

    As `redact_echoes`, of what people write to be read by others: an ordinary word is a word, whatever token
    begins with it or is a letter from it, and pieces of a token count where they stand by themselves, `PIECE`
    characters in all, so that ids in hexadecimal are no alarm. To be asked once of every distinct label.
    Costs O(len(label)) a mode. Public tokens give nothing away.
    """
    if not modes.secret:
        return None
    if (name := modes.mode_in(label)) is not None:
        return name
    views = _views(re.sub(r"\s+(?=\d{1,2}[.):]\s)", "\n", label))  # a numbered list, whose lines are gone
    for mode in modes.modes:
        token = mode.token.reveal()
        if len(token) >= LONG and (any(_echoes(views, token, told=False)) or _in_pieces(label, token)):
            return mode.name
    return None


def _in_pieces(label: str, token: str) -> bool:
    """Whether words of a label are `PIECE` characters or more of a token that is not made of words."""
    own = set(re.findall(r"[^\W\d_]+", token))  # a word within a token, POSITIVE of POSITIVE-7Qx, is a word
    words = {*re.findall(r"[^\W_]+", label), *label.split()}
    pieces = [
        word
        for word in words
        if len(word) >= PIECE - 1
        and word in token
        and (not wordy(word) or (word.isupper() and word not in own))
    ]
    return distinctive(token) and sum(map(len, pieces)) >= PIECE


def _views(text: str) -> _Views:
    return _Views(
        text, letters(text, every=True), letters(text), letters(text, unmarked=True), spelt_out(text)
    )


def _echoes(views: _Views, token: str, *, told: bool = True) -> Iterator[Span]:
    """Where a text gives the token away; `told` by a model, which may stop within it or misspell it."""
    whole, bare = folded(token, every=True), folded(token)
    yield from _found(views.whole, whole)
    if told and len(token) >= LONG:
        words = len(token.split())
        for start, end in _nearly(views.whole, whole):
            if distinctive(token) or len(views.text[start:end].split()) == words:
                yield start, end
    if len(bare) < LONG:
        return
    for view in (views.bare, views.unmarked, views.spelt):
        yield from (
            span for span in _found(view, bare) if distinctive(token) or _same(views.text, span, token)
        )
        if distinctive(token):
            yield from _nearly(view, bare, cut=told)
        yield from _found(view, bare[::-1])
    for written in _encoded(token):
        yield from _found(views.bare, written)
        yield from _found(views.unmarked, written)
    if told and distinctive(token):
        yield from _pieces(views.text, token)


def _same(text: str, span: Span, token: str) -> bool:
    """Whether a stretch of text is a token made of words, or its letters, and not other words that hold them.

    "safe mode" is no echo of the token SafeMode, "s-a-f-e-m-o-d-e" is.
    """
    words, own = (re.findall(r"[^\W_]+", folded(one, every=True)) for one in (text[slice(*span)], token))
    return words == own or all(len(word) <= 2 for word in words)


def _found(view: Letters, wanted: str) -> Iterator[Span]:
    for place in _places(view.text, wanted):
        yield view.span(place, place + len(wanted))


def _nearly(view: Letters, wanted: str, *, cut: bool = True) -> Iterator[Span]:
    """What is one edit from the token, or, if it may be `cut`, the beginning of it where the text ends.

    It holds a piece of the token that the edit leaves whole: of three an edit, a transposition too, changes
    two at most.
    """
    third = len(wanted) // 3
    pieces = [(0, wanted[:third]), (third, wanted[third : 2 * third]), (2 * third, wanted[2 * third :])]
    starts = {
        place - offset + shift
        for offset, piece in pieces
        for place in _places(view.text, piece)
        for shift in (-1, 0, 1)
    }
    for start in sorted(start for start in starts if 0 <= start < len(view.text)):
        end = _end(view.text, wanted, start, cut)
        if end is not None:
            yield view.span(start, end)


def _end(text: str, wanted: str, start: int, cut: bool) -> int | None:
    for length in (len(wanted), len(wanted) + 1, len(wanted) - 1):
        part = text[start : start + length]
        if len(part) == length and wanted not in part and within_one_edit(part, wanted):
            return start + length
    rest = text[start:]
    return len(text) if cut and len(wanted) // 2 <= len(rest) and wanted.startswith(rest) else None


def _encoded(token: str) -> Iterator[str]:
    """The token in encodings that models know, as letters and digits without case."""
    data = token.encode()
    yield data.hex()
    for code in ("d", "08b", "b", "o", "03o"):
        yield "".join(format(ord(character), code) for character in token)
    yield folded(codecs.encode(token, "rot13"))
    for before in range(3):  # within a longer text that was encoded it stands at one of three places
        encoded = base64.b64encode(b"\0" * before + data).decode().rstrip("=")
        whole = encoded[-(-before * 4 // 3) : len(encoded) - ((before + len(data)) % 3 > 0)]
        yield folded(whole)


def _pieces(text: str, token: str) -> Iterator[Span]:
    """Characters in a row of a token that is not made of words, exactly as they stand in it."""
    least = PIECE if len(token) > 8 else PIECE - 1
    for start in range(len(token) - least + 1):
        piece = token[start : start + least]
        for place in _places(text, piece):
            before, after = start, start + least
            left, right = place, place + least
            while before and left and token[before - 1] == text[left - 1]:
                before, left = before - 1, left - 1
            while after < len(token) and right < len(text) and token[after] == text[right]:
                after, right = after + 1, right + 1
            alone = not text[left - 1 : left].isalnum() and not text[right : right + 1].isalnum()
            shouted = text[left:right].isupper() and alone
            if shouted or not wordy(text[left:right]):
                yield left, right


def _places(text: str, piece: str) -> list[int]:
    found, place = [], text.find(piece)
    while place >= 0:
        found.append(place)
        place = text.find(piece, place + 1)
    return found


def _without(text: str, spans: Iterable[Span]) -> str:
    kept, position = [], 0
    last = -1
    for start, end in sorted(spans):
        if start >= position and start != last:
            kept += [text[position:start], MARK]
        position, last = max(position, end), start
    return "".join([*kept, text[position:]])
