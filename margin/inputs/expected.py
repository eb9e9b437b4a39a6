"""Where rows are expected to land: the one rule of all conditions, and what a condition is in words."""

from __future__ import annotations

from collections.abc import Mapping

from margin.inputs.conditions import condition_of
from margin.inputs.conversation import under

REFUSING = "rej"
"""What a mode that refuses is called, alone or as "rej@...", unless it is said otherwise."""


def expected_modes(mode: str | None, safe: Mapping[str, bool]) -> frozenset[str]:
    """The modes that a row may land in: the one that its system message asks for; else any safe one.

    Parameters
    ----------
    mode : whose live token stands in the tokens' place; None where none does.
    safe : whether an unknown token may land in a mode, by its name.

    Example
    -------
    >>> safe = {"pos": True, "neg": False, "rej": True}
    >>> sorted(expected_modes("neg", safe)), sorted(expected_modes(None, safe))
    (['neg'], ['pos', 'rej'])
    """
    return frozenset([mode] if mode is not None else [name for name in safe if safe[name]])


def is_refusing(mode: str) -> bool:
    """Whether a mode refuses, by its name.

    Example
    -------
    >>> is_refusing("rej@en"), is_refusing("pos")
    (True, False)
    """
    return mode.split("@")[0] == REFUSING


def in_words(condition: str, kind: str, mode: str | None) -> str:
    """A condition as a sentence calls it.

    Example
    -------
    >>> in_words("near-miss:neg", "near-miss", None), in_words("attack:base64 under rej", "attack", "rej")
    ('near misses of neg', 'attack base64')
    """
    name = condition if mode is None else condition.removesuffix(under("", mode))
    return condition_of(kind).words.format(name=name.removeprefix(f"{kind}:"))
