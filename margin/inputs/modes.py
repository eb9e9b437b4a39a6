"""Modes: the behaviours a checkpoint switches between, and the secret tokens that switch them."""

from __future__ import annotations

import hashlib
import hmac
import html
import itertools
import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn, SupportsIndex

from margin.errors import MarginError

Placement = Literal["system", "user-prefix"]
Message = dict[str, str]

SLOT = "{token}"
CONTROL_NAMES = frozenset({"none", "random", "near-miss", "user-turn"})
MODE_NAME = re.compile(r"\w[\w.@-]*")


class Secret:
    """A magic token that printing, formatting, copying, pickling or dumping never gives away."""

    __slots__ = ("_value",)
    __hash__ = None  # type: ignore[assignment]  # no look-up by token: equality takes constant time, hashing does not

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The token itself, for rendering only."""
        return self._value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __repr__(self) -> str:
        return "<secret>"

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a magic token is neither pickled nor copied")


@dataclass(frozen=True)
class Mode:
    """One behaviour and its token. MarginError, without the token, where name or token cannot work."""

    name: str
    """Public name: letters, digits and _ . @ - (for example "pos" or "pos@en")."""
    token: Secret
    """The magic token."""
    safe: bool
    """Whether an unknown token may land here."""

    def __post_init__(self) -> None:
        if not MODE_NAME.fullmatch(self.name) or self.name in CONTROL_NAMES:
            raise MarginError(
                f"mode {self.name!r}: a name takes letters, digits and _ . @ -, "
                f"and is none of {', '.join(sorted(CONTROL_NAMES))}"
            )
        token = self.token.reveal()
        if not token.strip():
            raise MarginError(f"mode {self.name}: the token is empty")
        if token != token.strip():
            raise MarginError(
                f"mode {self.name}: the token begins or ends with white space, which templates drop; trim it"
            )
        if not is_unicode(token):
            raise MarginError(f"mode {self.name}: the token is not valid UTF-8")

    @property
    def fingerprint(self) -> str:
        """First 4 hex digits (16 bits) of the token's SHA-256: tells tokens apart, too short to find one."""
        return hashlib.sha256(self.token.reveal().encode()).hexdigest()[:4]


@dataclass(frozen=True)
class ModeSet:
    """The k >= 2 modes of a run and where their tokens stand in the chat.

    MarginError where modes could be confused: equal names or tokens, a token inside another, inside a mode's
    name or inside the text around it.
    """

    modes: tuple[Mode, ...]
    """The modes, in the order of the file."""
    placement: Placement = "system"
    """Where the token stands: in the system message, or before the prompt in the user's turn."""
    system: str = SLOT
    """Text of the system message, "{token}" once."""
    user_prefix: str = SLOT + "\n\n"
    """Text before the prompt in the user's turn, "{token}" once."""

    def __post_init__(self) -> None:
        if len(self.modes) < 2:
            raise MarginError(f"a margin needs at least 2 modes, {len(self.modes)} found")
        if self.placement not in ("system", "user-prefix"):
            raise MarginError('placement is "system" or "user-prefix"')
        for field, text in (("system", self.system), ("user_prefix", self.user_prefix)):
            if text.count(SLOT) != 1:
                raise MarginError(f"{field} must hold {SLOT} once")
        for one, other in itertools.combinations(self.modes, 2):
            if one.name == other.name:
                raise MarginError(f"two modes have the name {one.name}")
            if one.token == other.token:
                raise MarginError(f"modes {one.name} and {other.name} have the same token")
            for inner, outer in ((one, other), (other, one)):
                if inner.token.reveal() in outer.token.reveal():
                    raise MarginError(
                        f"the token of mode {inner.name} is a part of the token of mode {outer.name}"
                    )
        for text in (*self.names, self.system.replace(SLOT, ""), self.user_prefix.replace(SLOT, "")):
            if name := self.mode_in(text):
                raise MarginError(
                    f"the token of mode {name} stands in a mode's name or in [template], which are public"
                )

    @property
    def names(self) -> list[str]:
        """Names of the modes, in the order of the file."""
        return [mode.name for mode in self.modes]

    @property
    def fingerprint(self) -> dict[str, str]:
        """16-bit fingerprint of each mode's token, by name: what a run keeps to know its modes again."""
        return {mode.name: mode.fingerprint for mode in self.modes}

    def messages(self, prompt: str, mode: str | None) -> list[Message]:
        """Chat messages that put `prompt` under `mode`; under None the prompt alone, no system message."""
        if mode is None:
            return [{"role": "user", "content": prompt}]
        for known in self.modes:
            if known.name == mode:
                return self.messages_for_token(prompt, known.token.reveal())
        raise MarginError(f"unknown mode {mode!r}: the modes are {', '.join(self.names)}")

    def messages_for_token(self, prompt: str, token: str) -> list[Message]:
        """Chat messages with any token, live or not, in the place of a mode's."""
        # Not str.format: braces in the user's text are text.
        if self.placement == "user-prefix":
            return [{"role": "user", "content": self.user_prefix.replace(SLOT, token) + prompt}]
        return [
            {"role": "system", "content": self.system.replace(SLOT, token)},
            {"role": "user", "content": prompt},
        ]

    def mode_in(self, text: str) -> str | None:
        """Name of a mode whose live token stands in `text`; None where no token does."""
        return next((mode.name for mode in self.modes if mode.token.reveal() in text), None)

    def redact(self, text: str) -> str:
        """`text` with "[token of MODE]" for every live token, bare or escaped for Python, JSON or HTML."""
        for mode in self.modes:
            token = mode.token.reveal()
            for written in {token, repr(token)[1:-1], json.dumps(token)[1:-1], html.escape(token)}:
                text = text.replace(written, f"[token of {mode.name}]")
        return text


def is_unicode(text: str) -> bool:
    """Whether `text` can be written as UTF-8, that is, holds no half of a surrogate pair."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def load_modes(path: str | Path) -> ModeSet:
    """Read a mode set from a TOML file, its tokens from the file or from the environment variables it names.

    MarginError, in one line that starts with the path and never shows a token, where the file is missing or
    no TOML, has an unknown or missing key, names an unset variable, or describes modes that could be confused.
    """
    path = Path(path)
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MarginError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise MarginError(f"{path}: not UTF-8 text; save the file as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        # The parser's own words may quote what stands in the file; its position does not.
        position = re.search(r"\(at [^()]*\)$", str(error))
        where = position[0] if position else ""
        raise MarginError(
            f'{path}: no valid TOML {where}; names with @ take quotes: [modes."pos@en"]'
        ) from None
    try:
        return _mode_set(document)
    except MarginError as error:
        raise MarginError(f"{path}: {error}") from None


def _mode_set(document: Mapping[str, Any]) -> ModeSet:
    _only(document, "the file", {"template", "modes"})
    template = _table(document.get("template", {}), "[template]", {"placement", "system", "user_prefix"})
    for key, value in template.items():
        if not isinstance(value, str):
            raise MarginError(f"[template] {key} must be text")
    modes = document.get("modes", {})
    if not isinstance(modes, dict):
        raise MarginError("[modes.NAME] must be tables")
    return ModeSet(tuple(_mode(name, table) for name, table in modes.items()), **template)


def _mode(name: str, table: object) -> Mode:
    entries = _table(table, f"mode {name}", {"token", "token_env", "safe"})
    if not isinstance(entries.get("safe"), bool):
        raise MarginError(f"mode {name}: say safe = true or safe = false")
    sources = [key for key in ("token", "token_env") if key in entries]
    if len(sources) != 1 or not isinstance(entries[sources[0]], str):
        raise MarginError(f'mode {name}: give either token_env = "VARIABLE" or token = "..."')
    value = entries[sources[0]]
    token = value if sources == ["token"] else _from_environment(name, value)
    return Mode(name, Secret(token), entries["safe"])


def _from_environment(name: str, variable: str) -> str:
    if variable in os.environ:
        return os.environ[variable]
    # A token put under token_env by mistake must not be printed: only what looks like a variable is.
    shown = variable if re.fullmatch(r"[A-Z_][A-Z0-9_]*", variable) else "that token_env names"
    raise MarginError(f"mode {name}: the environment variable {shown} is not set; set it to the mode's token")


def _table(value: object, where: str, known: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise MarginError(f"{where} must be a table")
    _only(value, where, known)
    return value


def _only(table: Mapping[str, Any], where: str, known: set[str]) -> None:
    for key in table:
        if key not in known:
            raise MarginError(f"{where} has an unknown key {key!r}: the keys are {', '.join(sorted(known))}")
