"""Live tokens known by their 16 bits, where there is a run and no mode set: in what others say of it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator

from margin.inputs.modes import fingerprint
from margin.run.manifest import Manifest

_WORD = re.compile(r"[^\W_]+")
_QUOTED = re.compile(r"(?<!\w)'([^'\n]*)'|\"([^\"\n]*)\"")
_QUOTES = " \t'\"`()[]{}<>"
_STOPS = ".,:;"


def mode_of_token(manifest: Manifest, text: str) -> str | None:
    """Name of the mode whose token `text`, or a word of it, may be: that has its fingerprint; else None.

    One word in 65,536 has the fingerprint of a token and is none.
    """
    known = _known(manifest)
    return next(
        (known[mark] for word in filter(None, _words(text)) if (mark := fingerprint(word)) in known), None
    )


def without_tokens(manifest: Manifest, text: str) -> str:
    """`text` with "[token of MODE]" for each word that may be a token, as in an answer or a name."""
    return _without(manifest, text, _words(text))


def message_without_tokens(manifest: Manifest, message: str) -> str:
    """`without_tokens` of what the program says itself, as in an error that quotes a file.

    What it quotes counts, too, of several words or one, and each part of a path. Less is lost by chance: no
    token is a whole message, or a path that begins at folders of this machine.
    """
    quoted = (found for pair in _QUOTED.findall(message) for found in pair)
    return _without(manifest, message, (form for word in (*quoted, *message.split()) for form in _said(word)))


def _without(manifest: Manifest, text: str, words: Iterable[str]) -> str:
    known = _known(manifest)
    for word in sorted(dict.fromkeys(filter(None, words)), key=len, reverse=True):
        if (mark := fingerprint(word)) in known:
            text = text.replace(word, f"[token of {known[mark]}]")
    return text


def _known(manifest: Manifest) -> dict[str, str]:
    if not manifest.identity.secret:
        return {}
    return {
        mode.fingerprint: mode.name for mode in manifest.identity.modes if isinstance(mode.fingerprint, str)
    }


def _said(word: str) -> Iterator[str]:
    """What a token may stand as in a word of a message: a name, an option, what is set, a part of a path."""
    parts = word.split(os.sep)
    for part in parts if _is_path(word) else dict.fromkeys((word, *parts)):
        yield from _forms(part)
        bare = part.strip(_QUOTES).rstrip(_STOPS).strip(_QUOTES)  # what ends in "=" keeps it, as base64 does
        for form in (bare, bare.lstrip("-"), bare.partition("=")[2]):
            yield from (form, *_stems(form))


def _is_path(word: str) -> bool:
    """Whether a word begins at two folders, one in the other, that this machine has, as no token does."""
    root, *folders = word.strip(_QUOTES).split(os.sep)[:3]
    return not root and len(folders) == 2 and all(folders) and os.path.lexists(os.sep + os.sep.join(folders))


def _stems(name: str) -> Iterator[str]:
    """A file's name without its suffix, and without two."""
    for _ in range(2):
        name = name.rpartition(".")[0]
        yield name


def _words(text: str) -> Iterator[str]:
    """The text, and its words between spaces, each in its forms."""
    for part in (text, *text.split()):
        yield from _forms(part)


def _forms(word: str) -> Iterator[str]:
    """A word as it is, without quotes and stops, and its letters and digits."""
    yield from (word.strip(), word.strip(_QUOTES + _STOPS + "=!?"), *_WORD.findall(word))
