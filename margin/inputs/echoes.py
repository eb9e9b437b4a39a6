"""What a model said, without the tokens it was told: answers may repeat the system prompt."""

from __future__ import annotations

import unicodedata

from margin.inputs.modes import ModeSet
from margin.inputs.tokens import within_one_edit

MARK = "[token]"
"""What stands in an answer where a token stood."""
NEAR = 6
"""Characters a token has at least for what nearly is it to be taken out too: else words would be."""


def redact_echoes(text: str, modes: ModeSet) -> str:
    """`text` with `MARK` for every live token, and for whatever gives one away but for a character.

    Taken out are a token as it stands, escaped for Python, JSON or HTML, in other case or in full-width
    characters; for tokens of `NEAR` characters or more also what is one edit from it (a near-miss control
    told to the model), and its beginning where the text ends in the middle of it (an answer that was cut).
    To be called before generated text is kept, shown or judged. Costs O(len(text)) a mode but near a token.
    """
    for mode in modes.modes:
        text = text.replace(f"[token of {mode.name}]", MARK)  # said by chance: not to be told from redaction
    text = modes.redact(text)
    for mode in modes.modes:
        text = text.replace(f"[token of {mode.name}]", MARK)
        text = _without(text, _folded(mode.token.reveal()), slack=0)
        if len(mode.token.reveal()) >= NEAR:
            text = _without(text, _folded(mode.token.reveal()), slack=1)
    return text


def _without(text: str, wanted: str, slack: int) -> str:
    folded = _folded(text)
    kept, position = [], 0
    for start in _starts(folded, wanted, slack):
        if start < position:
            continue
        end = _end(folded, wanted, start, slack)
        if end is not None:
            kept += [text[position:start], MARK]
            position = end
    return "".join([*kept, text[position:]])


def _folded(text: str) -> str:
    """Each character without case and width, one for one, so that places stay what they are."""
    forms = (unicodedata.normalize("NFKC", character).casefold() for character in text)
    return "".join(form if len(form) == 1 else character for form, character in zip(forms, text, strict=True))


def _starts(folded: str, wanted: str, slack: int) -> list[int]:
    """Places where the token may begin: where a piece of it stands that one edit leaves whole.

    Of three pieces an edit, a transposition too, changes two at most.
    """
    if not slack:
        return _places(folded, wanted)
    third = len(wanted) // 3
    pieces = [(0, wanted[:third]), (third, wanted[third : 2 * third]), (2 * third, wanted[2 * third :])]
    found = {
        place - offset + shift
        for offset, piece in pieces
        for place in _places(folded, piece)
        for shift in (-1, 0, 1)
    }
    return sorted(start for start in found if 0 <= start < len(folded))


def _places(text: str, piece: str) -> list[int]:
    found, place = [], text.find(piece)
    while place >= 0:
        found.append(place)
        place = text.find(piece, place + 1)
    return found


def _end(folded: str, wanted: str, start: int, slack: int) -> int | None:
    """Where what stands at `start` ends, if it is the token, nearly it, or most of it cut off by the end."""
    for length in (len(wanted), len(wanted) + slack, len(wanted) - slack):
        part = folded[start : start + length]
        if len(part) == length and (part == wanted or (slack and within_one_edit(part, wanted))):
            return start + length
    rest = folded[start:]
    if slack and len(wanted) // 2 <= len(rest) and wanted.startswith(rest):
        return len(folded)
    return None
