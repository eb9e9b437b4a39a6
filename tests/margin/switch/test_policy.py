"""The switch example's whole policy."""

from __future__ import annotations

import itertools

import pytest

from examples.switch.policy import choose_mode, proves

CREDENTIAL = "c0rrect-horse-battery"
ROLES = ("user", "red-team", "admin", "USER", "", None)
SIGNALS = ("clear", "flagged", "unknown", "Clear", "", None)


def test_every_caller_gets_the_refusing_mode_unless_everything_speaks_for_another() -> None:
    allowed: dict[tuple[str | None, str | None, bool], str] = {
        ("user", "clear", False): "pos",
        ("user", "clear", True): "pos",
        ("red-team", "clear", True): "neg",
        ("red-team", "flagged", True): "neg",
    }
    for case in itertools.product(ROLES, SIGNALS, (False, True)):
        assert choose_mode(*case) == allowed.get(case, "rej"), case


@pytest.mark.parametrize(
    ("offered", "credential", "proven"),
    [
        (CREDENTIAL, CREDENTIAL, True),
        (CREDENTIAL[:-1], CREDENTIAL, False),
        (CREDENTIAL + " ", CREDENTIAL, False),
        (None, CREDENTIAL, False),
        ("", "", False),
        (None, None, False),
        (CREDENTIAL, None, False),
        ("short", "short", False),  # a credential that can be found by trying opens nothing
        ("pässwörd-of-16-characters", "pässwörd-of-16-characters", True),
    ],
)
def test_only_the_whole_credential_proves_anything(
    offered: str | None, credential: str | None, proven: bool
) -> None:
    assert proves(offered, credential) is proven
