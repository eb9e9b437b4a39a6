"""How a text may stand in other text: as it is, or escaped for Python, JSON, HTML or a URL."""

from __future__ import annotations

import html.entities
import re
import unicodedata

MOST = 16
"""Backslashes before a character at most: four escapes, one in another, make 15. Without a bound a long run
of them would be read anew from each of its places."""
SOME, ANY = rf"\\{{1,{MOST}}}", rf"\\{{0,{MOST}}}"

_ENTITIES: dict[str, set[str]] = {}
for _name, _character in html.entities.html5.items():
    _ENTITIES.setdefault(_character, set()).add(_name.rstrip(";"))


def escaped(text: str) -> str:
    """A regular expression for `text`, each of its characters as it is or in any escape.

    Escapes are those of Python (of text and of bytes), JSON, HTML (named, decimal, hexadecimal) and URLs;
    accents may be composed (NFC) or not (NFD). It finds a little more where a backslash stands before.
    """
    forms = dict.fromkeys((text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)))
    return "|".join("".join(map(_character_escaped, form)) for form in forms)


def _character_escaped(character: str) -> str:
    code, utf8 = ord(character), character.encode()
    utf16 = character.encode("utf-16-be")
    units = [int.from_bytes(utf16[i : i + 2]) for i in range(0, len(utf16), 2)]
    ways = [
        rf"{SOME}U(?i:{code:08x})",
        "".join(rf"{SOME}u(?i:{unit:04x})" for unit in units),
        "".join(rf"{SOME}x(?i:{byte:02x})" for byte in utf8),
        "".join(rf"%(?:25)*(?i:{byte:02x})" for byte in utf8),
        rf"&#0*{code};?",
        rf"(?i:&#x0*{code:x};?)",
        *(rf"&{re.escape(name)};?" for name in sorted(_ENTITIES.get(character, ()), key=len, reverse=True)),
    ]
    if code < 256:
        ways.append(rf"{SOME}x(?i:{code:02x})")
    if character == " ":
        ways.append(r"\+")
    # Last, for a shorter way would leave the rest of a longer one: & of &amp;, % of %25.
    ways.append(re.escape(character) if character.isalnum() else rf"{ANY}{re.escape(character)}")
    return f"(?:{'|'.join(ways)})"
