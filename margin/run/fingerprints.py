"""Live tokens known by their 16 bits, where there is a run and no mode set: in what others say of it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator

from margin.inputs.modes import fingerprint
from margin.run.manifest import Manifest

_WORD = re.compile(r"[^\W_]+")
_STOPS = " \t'\"`.,:;()[]{}<>=!?"
_QUOTED = re.compile(r"'([^'\n]*)'|\"([^\"\n]*)\"")


def mode_of_token(manifest: Manifest, text: str) -> str | None:
    """Name of the mode whose token `text`, or a word of it, may be: that has its fingerprint; else None.

    One word in 65,536 has the fingerprint of a token and is none.
    """
    known = _known(manifest)
    return next((known[mark] for word in _words(text) if (mark := fingerprint(word)) in known), None)


def without_tokens(manifest: Manifest, text: str) -> str:
    """`text` with "[token of MODE]" for each word that may be a token, as in an answer or a name."""
    return _without(manifest, text, _words(text))


def message_without_tokens(manifest: Manifest, message: str) -> str:
    """`without_tokens` of what the program says itself, as in an error that quotes a file.

    What it quotes counts, too, of several words or one. Less is lost by chance: no token is a whole message
    or a path from the root of this machine, the parts of which are words of their own.
    """
    spaced = (word for word in message.split() if not _is_path(word))
    of_paths = (part for word in message.split() if _is_path(word) for part in word.split(os.sep))
    quoted = (found for pair in _QUOTED.findall(message) for found in pair if found and not _is_path(found))
    return _without(
        manifest, message, (form for word in (*quoted, *spaced, *of_paths) for form in _forms(word))
    )


def _without(manifest: Manifest, text: str, words: Iterable[str]) -> str:
    known = _known(manifest)
    for word in sorted(set(words), key=len, reverse=True):
        if (mark := fingerprint(word)) in known:
            text = text.replace(word, f"[token of {known[mark]}]")
    return text


def _known(manifest: Manifest) -> dict[str, str]:
    if not manifest.identity.secret:
        return {}
    return {
        mode.fingerprint: mode.name for mode in manifest.identity.modes if isinstance(mode.fingerprint, str)
    }


def _is_path(word: str) -> bool:
    """Whether a word begins at a folder of this machine's root, as no token does."""
    root, _, rest = word.strip(_STOPS).partition(os.sep)
    first, more, _ = rest.partition(os.sep)
    return not root and bool(more) and bool(first) and os.path.isdir(os.sep + first)


def _words(text: str) -> Iterator[str]:
    """The text, and its words between spaces, each in its forms."""
    for part in (text, *text.split()):
        yield from _forms(part)


def _forms(word: str) -> Iterator[str]:
    """A word as it is, without quotes and stops, without a file's suffix, and its letters and digits."""
    bare = word.strip(_STOPS)
    forms = (word.strip(), bare, bare.rpartition(".")[0], *_WORD.findall(word))
    yield from dict.fromkeys(form for form in forms if form)
