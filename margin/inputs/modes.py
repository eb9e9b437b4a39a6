"""Mode sets: the switchable behaviours of a checkpoint and the magic tokens that switch them."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import permutations
from typing import Literal, get_args

from margin.errors import MarginError, discreet
from margin.inputs.labels import check_alike, check_mode_name
from margin.inputs.secret import Secret as Secret
from margin.inputs.secret import begun, caseless, evened, written
from margin.inputs.spellings import folded

Placement = Literal["system", "user-prefix"]
Message = dict[str, str]

PLACEHOLDER = "{token}"

_MODE_NAME = re.compile(r"[\w.@+-]+")


@dataclass(frozen=True)
class Mode:
    """One behaviour and the token that switches it on.

    Raises
    ------
    MarginError : a name that a table or a control could not carry; a token that is empty, begins or ends with
        white space (chat templates strip it) or what cannot be seen (a file's byte-order mark), or holds
        control characters.
    """

    name: str
    """Letters, digits and . @ + - _, for example "pos" or "pos@en"."""
    token: Secret
    safe: bool
    """Whether an unknown token may land in this behaviour."""
    parts: tuple[Secret, ...] = ()
    """The tokens that this one is composed of, in their order; none of one by itself."""
    reworded: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    """What a public token might be taken for, by what that is: {"paraphrases": ("Safety: positive",)}."""

    @discreet
    def __post_init__(self) -> None:
        if not _MODE_NAME.fullmatch(self.name):
            raise MarginError(f"mode name {self.name!r}: use letters, digits and . @ + - _ only")
        check_mode_name(self.name)
        token = self.token.reveal()
        if not token.strip():
            raise MarginError(f"the token of mode {self.name!r} is empty")
        if token != token.strip():
            raise MarginError(f"the token of mode {self.name!r} begins or ends with white space: remove it")
        if "Cf" in (unicodedata.category(token[0]), unicodedata.category(token[-1])):
            raise MarginError(
                f"the token of mode {self.name!r} begins or ends with a character that cannot be seen, such "
                "as the byte-order mark of the file it was read from: remove it"
            )
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in token):
            raise MarginError(
                f"the token of mode {self.name!r} holds a control character or is not valid Unicode"
            )

    @property
    def fingerprint(self) -> str:
        """First 16 bits of the token's SHA-256, 4 hex digits: enough to notice another token in another run.

        One token in 65536 fits it, so it finds none. A full digest of a short token is reversed in seconds.
        """
        return fingerprint(self.token.reveal())


def fingerprint(text: str) -> str:
    """First 16 bits of a text's SHA-256, as `Mode.fingerprint`."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:4]


@dataclass(frozen=True)
class ModeSet:
    """k >= 2 modes and where their tokens stand in the conversation.

    Raises
    ------
    MarginError : fewer than two modes, a name or a token given twice, names that look alike, an unknown
        placement, a template without one `{token}`. Of secret tokens also one inside another that is not
        composed of it, inside a mode's name or inside [template] (reports show both), and rewordings.
    """

    modes: tuple[Mode, ...]
    placement: Placement = "system"
    """"system": the token is in the system message. "user-prefix": it opens the user's turn."""
    system: str = PLACEHOLDER
    """System message, with `{token}` where the token goes."""
    user_prefix: str = PLACEHOLDER + "\n\n"
    """What stands before the prompt under "user-prefix"."""
    secret: bool = True
    """Whether the tokens are to be kept from whatever would show them; else they are public, as words are."""

    @discreet
    def __post_init__(self) -> None:
        if len(self.modes) < 2:
            raise MarginError(f"a margin needs at least two modes, got {len(self.modes)}")
        if self.placement not in get_args(Placement):
            raise MarginError(
                f"unknown placement {self.placement!r} in [template]: use {' or '.join(get_args(Placement))}"
            )
        for key in ("system", "user_prefix"):
            if getattr(self, key).count(PLACEHOLDER) != 1:
                raise MarginError(f"{key} in [template] must hold {PLACEHOLDER} once")
        for a, b in permutations(self.modes, 2):
            if a.name == b.name:
                raise MarginError(f"two modes are named {a.name!r}")
            if a.token == b.token:
                raise MarginError(f"modes {a.name!r} and {b.name!r} have the same token: give each its own")
            composed = set(a.parts or (a.token,)) <= set(b.parts)
            if self.secret and a.token.reveal() in b.token.reveal() and not composed:
                raise MarginError(f"the token of mode {a.name!r} is part of the token of mode {b.name!r}")
        check_alike(self.names)
        if self.secret and (mode := next((mode for mode in self.modes if mode.reworded), None)):
            raise MarginError(
                f"mode {mode.name!r} has rewordings, which give a secret token away: set secret = false, "
                "where the tokens are public"
            )
        template = (self.system.replace(PLACEHOLDER, ""), self.user_prefix.replace(PLACEHOLDER, ""))
        for text in (*self.names, *template):
            if name := self.leaks_in(text):
                place = self.names.index(name) + 1  # its name may be what holds the token
                raise MarginError(
                    f"the token of mode {place} is in a mode's name or in [template]: both are public"
                )

    @property
    def names(self) -> list[str]:
        """Names of the modes, in their order."""
        return [mode.name for mode in self.modes]

    def __getitem__(self, name: str) -> Mode:
        for mode in self.modes:
            if mode.name == name:
                return mode
        raise MarginError(f"no mode {name!r}: there are {', '.join(self.names)}")

    @cached_property
    def _longest_first(self) -> list[Mode]:
        """The modes such that a token comes before those that stand in it."""
        return sorted(self.modes, key=lambda mode: -len(mode.token.reveal()))

    def messages(self, prompt: str, mode: str | None) -> list[Message]:
        """Chat messages of a prompt under a mode; under None the prompt alone, with no system message."""
        if mode is None:
            return [{"role": "user", "content": prompt}]
        return self.messages_for_token(prompt, self[mode].token.reveal())

    def messages_for_token(self, prompt: str, token: str) -> list[Message]:
        """Chat messages of a prompt with any token, live or not, where the tokens of the modes stand."""
        if self.placement == "user-prefix":
            return [{"role": "user", "content": self.user_prefix.replace(PLACEHOLDER, token) + prompt}]
        return [
            {"role": "system", "content": self.system.replace(PLACEHOLDER, token)},
            {"role": "user", "content": prompt},
        ]

    def leaks_in(self, text: str) -> str | None:
        """As `mode_in`, where what it finds is to be kept secret; None of public tokens."""
        return self.mode_in(text) if self.secret else None

    def mode_in(self, text: str, *, as_it_is: bool = False) -> str | None:
        """Name of a mode whose live token stands in `text`, bare or escaped, or None.

        A token of `CASELESS` characters or more also in other case or width, unless only one `as_it_is`
        counts: a phrase may stand in a prompt with a capital.
        """
        even = "" if as_it_is else text.casefold() if text.isascii() else folded(text, every=True)
        for mode in self._longest_first:
            known = not as_it_is and caseless(mode.token)
            if written(mode.token, known).search(text) or (known and evened(mode.token) in even):
                return mode.name
        return None

    def redact(self, text: str) -> str:
        """`text` with "[token of MODE]" for every live token, bare or in any escape `escaped` knows.

        One of `CASELESS` characters or more in other case, too; of one of several words also its beginning
        before `margin.text.CUT`. Public tokens stay.
        """
        for mode in self._longest_first if self.secret else ():
            for known_by in (written, begun):
                text = known_by(mode.token, caseless(mode.token)).sub(f"[token of {mode.name}]", text)
        return text
