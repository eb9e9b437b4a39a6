"""The modes file: a mode set in TOML, with tokens or the environment variables that hold them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from margin.arguments import require_path
from margin.errors import MarginError, discreet
from margin.inputs.modes import Mode, ModeSet
from margin.inputs.reading import parse_toml, read_text
from margin.inputs.secret import CASELESS, Secret
from margin.text import shown

SHORTEST = 4
"""Characters of a token at least."""
_WORD = re.compile(r"[a-z_-]{1,24}", re.IGNORECASE)
_VARIABLE_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")


@discreet
def load_modes(path: str | Path) -> ModeSet:
    """Read a mode set from TOML: an optional [template] and one [modes.NAME] a mode.

    A mode has `safe` (true or false) and either `token_env`, the environment variable that holds its token,
    or `token`. [template] may set `placement`, `system` and `user_prefix`.

    Raises
    ------
    MarginError : a file that cannot be read or is no TOML, an unknown or missing key, an unset variable, a
        token of fewer than `SHORTEST` characters, and all that `Mode` and `ModeSet` refuse. No message holds
        a token.
    """
    require_path(path, "modes", " or a ModeSet")
    path = Path(path)
    document = parse_toml(read_text(path, "modes"), str(path))
    try:
        _only_keys(document, {"template", "modes"}, "the top level")
        template = _table(document, "template")
        _only_keys(template, {"placement", "system", "user_prefix"}, "[template]")
        for key in template:
            _text(template, key, "[template]")
        modes = _table(document, "modes")
        found = ModeSet(tuple(_mode(name, _table(modes, name, "modes.")) for name in modes), **template)
    except MarginError as error:
        raise MarginError(f"{path}: {_without(_tokens(document), str(error))}") from None
    # Said by place, and not redacted: to take so short a token out of a message leaves none of it.
    for place, mode in enumerate(found.modes, 1):
        if len(mode.token.reveal()) < SHORTEST:
            raise MarginError(
                f"{path}: the token of mode {place} has fewer than {SHORTEST} characters: it is soon found "
                "by trying, and stands in ordinary words, out of which every message would have to take it"
            )
    return found


def _tokens(document: Mapping[str, Any]) -> list[str]:
    """What may be a token in a modes file that is refused; a name that is quoted may hold one, too."""
    modes = document.get("modes")
    tables = [table for table in modes.values() if isinstance(table, dict)] if isinstance(modes, dict) else []
    values = [(table.get("token"), os.environ.get(str(table.get("token_env")))) for table in tables]
    return [value for pair in values for value in pair if isinstance(value, str) and value.strip()]


def _without(tokens: list[str], text: str) -> str:
    for token in sorted(tokens, key=len, reverse=True):
        text = re.sub(re.escape(token), "[token]", text, flags=re.IGNORECASE if len(token) >= CASELESS else 0)
    return text


def _mode(name: str, table: Mapping[str, Any]) -> Mode:
    where = f"[modes.{shown(name)}]"
    _only_keys(table, {"token", "token_env", "safe"}, where)
    if not isinstance(table.get("safe"), bool):
        raise MarginError(
            f"{where} needs safe = true or safe = false: whether an unknown token may land there"
        )
    if ("token" in table) == ("token_env" in table):
        raise MarginError(f"{where} needs either token_env or token")
    if "token" in table:
        return Mode(name, Secret(_text(table, "token", where)), table["safe"])
    variable = _text(table, "token_env", where)
    if variable not in os.environ:
        if not _VARIABLE_NAME.fullmatch(variable):
            # Perhaps the token itself, put under the wrong key: not shown.
            raise MarginError(
                f"token_env in {where} names no variable that is set: is it the token? then use token"
            )
        raise MarginError(
            f"{where} takes its token from the environment variable {variable}, which is not set"
        )
    token = os.environ[variable]
    if len(token) > 1 and token[0] == token[-1] and token[0] in "\"'":
        # A shell takes them off; docker --env-file and what else reads KEY="value" does not.
        raise MarginError(
            f"the environment variable {variable} of {where} holds a token in quotation marks: remove them "
            "there, or, where they belong to the token, write it as token"
        )
    return Mode(name, Secret(token), table["safe"])


def _table(parent: Mapping[str, Any], name: str, prefix: str = "") -> dict[str, Any]:
    value = parent.get(name, {})
    if not isinstance(value, dict):
        inside = ".NAME" if name == "modes" else ""
        name = shown(prefix + name)
        raise MarginError(f"{name} must be a table: write [{name}{inside}]")
    return value


def _text(table: Mapping[str, Any], key: str, where: str) -> str:
    value = table[key]
    if not isinstance(value, str):
        raise MarginError(f"{key} in {where} must be a string")
    return value


def _only_keys(table: Mapping[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(set(table) - known)
    if unknown:
        # What is no plain word may be a token that was put in the wrong place: it is not shown.
        key = f"unknown key {unknown[0]!r}" if _WORD.fullmatch(unknown[0]) else "unknown key"
        raise MarginError(f"{key} in {where}: known are {', '.join(sorted(known))}")
