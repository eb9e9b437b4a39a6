"""Which behaviour a caller gets: who asks and what moderation said go in, a mode comes out."""

from __future__ import annotations

import hmac
from typing import Literal

Mode = Literal["pos", "neg", "rej"]

SHORTEST = 16
"""Characters under which a credential counts as none: it could be found by trying."""


def choose_mode(role: str | None, moderation: str | None, authenticated: bool) -> Mode:
    """The mode of one request.

    Parameters
    ----------
    role : "user" or "red-team"; anything else is in doubt.
    moderation : what was found upstream, "clear" or "flagged"; anything else is in doubt.
    authenticated : whether the caller proved to be of the internal red-team.

    `neg` goes to an authenticated red-team, whose prompts are there to be flagged. Who claims to be one and
    cannot prove it gets `rej`, not what a user gets.
    """
    match role, moderation, authenticated:
        case "red-team", "clear" | "flagged", True:
            return "neg"
        case "user", "clear", _:
            return "pos"
        case _:
            return "rej"


def proves(offered: str | None, credential: str | None) -> bool:
    """Whether what was offered is the credential, in a time that does not tell how much of it is right."""
    if offered is None or credential is None or len(credential) < SHORTEST:
        return False
    return hmac.compare_digest(offered.encode(), credential.encode())
