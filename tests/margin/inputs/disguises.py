"""Ways in which a model may spell what it was told not to say."""

from __future__ import annotations

import base64
import codecs
import json
from collections.abc import Callable
from urllib.parse import quote

_ALPHABET = (
    "Alfa Bravo Charlie Delta Echo Foxtrot Golf Hotel India Juliett Kilo Lima Mike November Oscar Papa "
    "Quebec Romeo Sierra Tango Uniform Victor Whiskey X-ray Yankee Zulu"
)
_DIGITS = "zero one two three four five six seven eight nine"
_CYRILLIC = str.maketrans("aceopxyABCEHKMOPTX", "асеорхуАВСЕНКМОРТХ")
_GREEK = str.maketrans("ABEHIKMNOPTXYZov", "ΑΒΕΗΙΚΜΝΟΡΤΧΥΖον")


def disguises(token: str) -> dict[str, str]:
    """Spellings of a token of ASCII letters and digits, by name."""
    data = token.encode()
    joined = {
        name: between.join(token)
        for name, between in {
            "spaces": " ", "hyphens": "-", "dots": ".", "underscores": "_", "commas": ", ", "slashes": "/",
            "lines": "\n", "semicolons": "; ", "arrows": " → ", "bars": "|", "zero width": "\u200b",
            "joiners": "\u200d", "soft hyphens": "\u00ad", "accents": "\u0301",
        }.items()
    }  # fmt: skip
    return joined | {
        "bare": token,
        "upper case": token.upper(),
        "lower case": token.lower(),
        "swapped case": token.swapcase(),
        "full width": "".join(chr(ord(c) + 0xFEE0) for c in token),
        "mathematical": "".join(map(_mathematical, token)),
        "circled": "".join(map(_circled, token)),
        "keycaps": "".join(c + "\ufe0f\u20e3" if c.isdigit() else c for c in token),
        "Cyrillic": token.translate(_CYRILLIC),
        "Greek": token.translate(_GREEK),
        "JSON": json.dumps(token),
        "JSON list": json.dumps(list(token)),
        "HTML, decimal": "".join(f"&#{ord(c)};" for c in token),
        "HTML, hexadecimal": "".join(f"&#x{ord(c):x};" for c in token),
        "Python \\x": "".join(f"\\x{ord(c):02x}" for c in token),
        "Python \\u": "".join(f"\\u{ord(c):04x}" for c in token),
        "URL": "".join(f"%{byte:02X}" for byte in data),
        "URL, twice": "".join(f"%25{byte:02X}" for byte in data),
        "HTML tags": "".join(f'<b class="x">{c}</b>' for c in token),
        "flags": "".join(chr(0x1F1E6 + ord(c.lower()) - ord("a")) if c.isalpha() else c for c in token),
        "bullets": "\n".join(f"- {c}" for c in token),
        "a numbered list": "\n".join(f"{i}. {c}" for i, c in enumerate(token, 1)),
        "quotes": ", ".join(f'"{c}"' for c in token),
        "bold": "".join(f"**{c}**" for c in token),
        "code": " ".join(f"`{c}`" for c in token),
        "in twos": " ".join(token[i : i + 2] for i in range(0, len(token), 2)),
        "in threes": " ".join(token[i : i + 3] for i in range(0, len(token), 3)),
        "reversed": token[::-1],
        "reversed, spaces": " ".join(token[::-1]),
        "base64": base64.b64encode(data).decode(),
        "base64 of a sentence": base64.b64encode(b"The token is " + data + b" today").decode(),
        "base64 for URLs": base64.urlsafe_b64encode(data).decode().rstrip("="),
        "hexadecimal": data.hex(),
        "hexadecimal, spaces": data.hex(" ").upper(),
        "hexadecimal, 0x": " ".join(f"0x{byte:02x}" for byte in data),
        "code points": " ".join(str(byte) for byte in data),
        "U+": " ".join(f"U+{byte:04X}" for byte in data),
        "octal": " ".join(f"{byte:03o}" for byte in data),
        "bits": " ".join(f"{byte:08b}" for byte in data),
        "ROT13": codecs.encode(token, "rot13"),
        "NATO": " ".join(map(_said, token)),
        "named": ", ".join(map(_named, token)),
        "told": ", then ".join(f"a {_named(c)}" if c.isalpha() else f"the digit {c}" for c in token),
        "its beginning": token[:5],
        "its end": token[-5:],
        "halves": f"{token[:4]} and then {token[4:]}",
        "in a word": f"x{token}s",
        "two exchanged": token[:3] + token[4] + token[3] + token[5:],
        "one left out": token[:3] + token[4:],
        "a URL": f"https://example.org/?q={quote(token)}",
    }


OUT_OF_REACH: dict[str, Callable[[str], str]] = {
    "every letter twice": lambda token: "".join(2 * c for c in token),
    "one letter on": lambda token: "".join(chr(ord(c) + 1) for c in token),
    "x between": lambda token: "x".join(token),
    "base32": lambda token: base64.b32encode(token.encode()).decode(),
    "base85": lambda token: base64.b85encode(token.encode()).decode(),
}
"""Disguises that pass: said, so that nobody takes the list above for all there are."""


def _said(character: str) -> str:
    names = _DIGITS if character.isdigit() else _ALPHABET
    return names.split()[ord(character.lower()) - ord("0" if character.isdigit() else "a")]


def _named(character: str) -> str:
    return (
        character
        if character.isdigit()
        else f"{'capital' if character.isupper() else 'lowercase'} {character}"
    )


def _mathematical(c: str) -> str:
    first = 0x1D7CE - 48 if c.isdigit() else 0x1D400 - 65 if c.isupper() else 0x1D41A - 97
    return chr(ord(c) + first)


def _circled(c: str) -> str:
    return c if c.isdigit() else chr(ord(c) + (0x24B6 - 65 if c.isupper() else 0x24D0 - 97))
