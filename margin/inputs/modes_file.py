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

JOINT = ", "
"""What stands between the tokens of a composed one."""
SHORTEST = 4
"""Characters of a token at least."""
COMPOSED = ("tokens", "tokens_env")
GIVEN = ("token", "token_env", *COMPOSED)
"""Keys of which a mode has one."""
_WORD = re.compile(r"[a-z_-]{1,24}", re.IGNORECASE)
_VARIABLE_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")


@discreet
def load_modes(path: str | Path) -> ModeSet:
    """Read a mode set from TOML: an optional [template] and one [modes.NAME] a mode.

    A mode has `safe` (true or false) and either `token_env`, the environment variable that holds its token,
    or `token`; one that is composed of several has `tokens_env` or `tokens`, a list. [template] may set
    `placement`, `system`, `user_prefix`, and `joint`, what stands between composed tokens (", "). At the top
    `secret = false` says that the tokens are public, as readable ones are; modes may then be `reworded`.

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
        _only_keys(document, {"secret", "template", "modes"}, "the top level")
        secret = document.get("secret", True)
        if not isinstance(secret, bool):
            raise MarginError("secret must be true or false: whether the tokens are to be kept")
        template = _table(document, "template")
        _only_keys(template, {"placement", "system", "user_prefix", "joint"}, "[template]")
        for key in template:
            _text(template, key, "[template]")
        modes = _table(document, "modes")
        joint = template.pop("joint", JOINT)
        tables = {name: _table(modes, name, "modes.") for name in modes}
        made = tuple(_mode(name, table, joint) for name, table in tables.items())
        found = ModeSet(made, **template, secret=secret)
    except MarginError as error:
        raise MarginError(f"{path}: {_without(_tokens(document), str(error))}") from None
    # Said by place, and not redacted: to take so short a token out of a message leaves none of it.
    for place, mode in enumerate(found.modes if found.secret else (), 1):
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
    if document.get("secret") is False:
        return []
    values: list[Any] = []
    for table in tables:
        several, variables = ([] if not isinstance(it := table.get(key), list) else it for key in COMPOSED)
        values += [table.get("token"), *several]
        values += [os.environ.get(str(name)) for name in (table.get("token_env"), *variables)]
    return [value for value in values if isinstance(value, str) and value.strip()]


def _without(tokens: list[str], text: str) -> str:
    for token in sorted(tokens, key=len, reverse=True):
        text = re.sub(re.escape(token), "[token]", text, flags=re.IGNORECASE if len(token) >= CASELESS else 0)
    return text


def _mode(name: str, table: Mapping[str, Any], joint: str) -> Mode:
    where = f"[modes.{shown(name)}]"
    _only_keys(table, {*GIVEN, "safe", "reworded"}, where)
    if not isinstance(table.get("safe"), bool):
        raise MarginError(
            f"{where} needs safe = true or safe = false: whether an unknown token may land there"
        )
    if sum(key in table for key in GIVEN) != 1:
        raise MarginError(f"{where} needs either token_env or token (tokens_env or tokens of a composed one)")
    (key,) = (key for key in GIVEN if key in table)
    given = _texts(table[key], key, where) if key in COMPOSED else [_text(table, key, where)]
    tokens = [_of_environment(text, key, where) if key.endswith("_env") else text for text in given]
    if not all(map(str.strip, tokens)):
        raise MarginError(f"the token of mode {name!r} is empty")
    return Mode(
        name,
        Secret(joint.join(tokens)),
        table["safe"],
        tuple(map(Secret, tokens)) if key in COMPOSED else (),
        _reworded(table.get("reworded", {}), where),
    )


def _of_environment(variable: str, key: str, where: str) -> str:
    if variable not in os.environ:
        if not _VARIABLE_NAME.fullmatch(variable):
            # Perhaps the token itself, put under the wrong key: not shown.
            raise MarginError(
                f"{key} in {where} names no variable that is set: is it the token? then use "
                f"{key.removesuffix('_env')}"
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
    return token


def _reworded(table: Any, where: str) -> dict[str, tuple[str, ...]]:
    if not isinstance(table, dict):
        raise MarginError(f'reworded in {where} must be a table of lists: {{paraphrases = ["..."]}}')
    for kind in table:
        if not _WORD.fullmatch(kind):
            raise MarginError(
                f"{shown(kind)!r} of reworded in {where}: name it by a word, such as paraphrases"
            )
    return {kind: tuple(_texts(texts, f"reworded.{kind}", where)) for kind, texts in table.items()}


def _texts(value: Any, key: str, where: str) -> list[str]:
    if not (isinstance(value, list) and value and all(isinstance(text, str) for text in value)):
        raise MarginError(f"{key} in {where} must be a list of strings")
    return value


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
