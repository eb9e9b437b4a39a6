"""Live tokens known by their 16 bits, where there is a run and no mode set: in what others say of it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from margin.inputs.modes import fingerprint
from margin.run.manifest import Manifest

_WORD = re.compile(r"[^\W_]+")


def mode_of_token(manifest: Manifest, text: str) -> str | None:
    """Name of the mode whose token `text`, or a word of it, may be: that has its fingerprint; else None.

    One word in 65,536 has the fingerprint of a token and is none.
    """
    known = _known(manifest)
    return next((known[mark] for word in _words(text) if (mark := fingerprint(word)) in known), None)


def without_tokens(manifest: Manifest, text: str) -> str:
    """`text` with "[token of MODE]" for each word that may be a token, as in an error that quotes a file."""
    known = _known(manifest)
    for word in sorted(_words(text), key=len, reverse=True):
        if (mark := fingerprint(word)) in known:
            text = text.replace(word, f"[token of {known[mark]}]")
    return text


def _known(manifest: Manifest) -> dict[str, str]:
    if not manifest.identity.secret:
        return {}
    return {
        mode.fingerprint: mode.name for mode in manifest.identity.modes if isinstance(mode.fingerprint, str)
    }


def _words(text: str) -> Iterator[str]:
    """The text, its words between spaces, these without quotes and stops, and what is letters and digits."""
    yield from dict.fromkeys(
        word
        for part in (text, *text.split())
        for word in (part.strip(), part.strip(" \t'\"`.,:;()[]{}<>=!?"), *_WORD.findall(part))
        if word
    )
