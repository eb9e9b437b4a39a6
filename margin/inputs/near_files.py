"""Strings to try in a token's place from a file: paraphrases, opposites, whatever its owner thinks of."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from margin.errors import MarginError, discreet
from margin.inputs.echoes import given_away
from margin.inputs.modes import ModeSet
from margin.inputs.neighbours import Near
from margin.inputs.reading import parse_toml, read_text
from margin.text import shown


@discreet
def load_near(path: str | Path, modes: ModeSet) -> tuple[Near, ...]:
    """Read TOML: under [modes.NAME] lists of strings, the key of each being what they are called.

    Example: `[modes.neg]`, `paraphrases = ["Mode of safety: no"]`, `opposites = ["Safety Mode: Positive"]`.

    Raises
    ------
    MarginError : a file that cannot be read, a mode that is none, what is no list of strings, a string that
        is empty, begins or ends with white space or holds control characters. Shows no string.
    """
    where = Path(path)
    document = parse_toml(read_text(where, "strings"), str(where))
    tables = document.get("modes")
    if set(document) != {"modes"} or not isinstance(tables, dict) or not tables:
        raise MarginError(f'{where}: write [modes.NAME] and lists under it, paraphrases = ["..."]')
    found = []
    for mode, table in tables.items():
        if mode not in modes.names:
            raise MarginError(f"{where}: no mode {shown(mode)!r}: there are {', '.join(modes.names)}")
        if not isinstance(table, dict):
            raise MarginError(f"{where}: [modes.{mode}] must be a table of lists")
        for kind, strings in table.items():
            named = f"{where}: [modes.{mode}] {shown(kind)}"
            if (name := given_away(kind, modes)) is not None:
                raise MarginError(
                    f"{where}: the token of mode {name!r} stands in the name of a list: rename it"
                )
            if not isinstance(strings, list) or not strings:
                raise MarginError(f"{named} must be a list of strings")
            for number, string in enumerate(strings, 1):
                if not isinstance(string, str) or not string or string != string.strip() or _controls(string):
                    raise MarginError(
                        f"{named}: string {number} must be text, without white space at its ends and control "
                        "characters"
                    )
            live = modes[mode].token.reveal()
            kept = tuple(one for one in dict.fromkeys(strings) if one != live)
            if kept:
                found.append(Near(mode, shown(kind), kept))
    return tuple(found)


def _controls(text: str) -> bool:
    return any(unicodedata.category(character) in ("Cc", "Cs") for character in text)
