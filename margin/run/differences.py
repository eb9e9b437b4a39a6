"""What differs between two records, said so that a person sees it."""

from __future__ import annotations

import math
import re
from typing import Any

from margin.run.stored import Record
from margin.text import shown

_DIGEST = re.compile("[0-9a-f]{64}")
_SHORT = 40
"""Characters of a value that are shown."""
_AROUND = 12
"""Characters that are shown before and after the place where two long texts differ."""
_ROUNDING = 1e-6
"""Relative difference of two numbers that is rounding: the same was computed on another device."""


def differences(old: Record, new: Record, sides: tuple[str, str], prefix: str = "") -> list[str]:
    """Each entry that differs between two records, as "NAME: OLD in one, NEW in the other".

    `sides` says which is which, for example ("in the baseline", "in the run"). Lists are compared by what
    they hold, lists of records by the records' `name`. Of digests the first characters are shown.
    """
    found = []
    for key in {**old, **new}:
        was, now = _by_name(old.get(key)), _by_name(new.get(key))
        name = f"{prefix}{key}"
        if _same(was, now):
            continue
        if isinstance(was, dict) and isinstance(now, dict):
            found += differences(was, now, sides, f"{name}.")
        elif isinstance(was, list) and isinstance(now, list):
            found.append(f"{name}: {_of_lists(was, now, sides)}")
        elif _is_digest(was) and _is_digest(now):
            found.append(f"{name}: other content ({was[:8]} {sides[0]}, {now[:8]} {sides[1]})")
        else:
            before, after = _shown_apart(was, now)
            found.append(f"{name}: {before} {sides[0]}, {after} {sides[1]}")
    return found


def entry_of(line: str) -> str:
    """The entry of the records that a line of `differences` is about: "modes" of "modes.pos.safe: ..."."""
    return re.split("[.:]", line, maxsplit=1)[0]


def _same(was: Any, now: Any) -> bool:
    """Whether two values are equal, numbers but for rounding; what is true is no number."""
    if {type(was), type(now)} in ({float}, {float, int}):
        return math.isclose(was, now, rel_tol=_ROUNDING)
    if isinstance(was, list) and isinstance(now, list):
        return len(was) == len(now) and all(map(_same, was, now))
    return bool(was == now) and isinstance(was, bool) == isinstance(now, bool)


def _by_name(value: Any) -> Any:
    """A list of records with names as one record; anything else as it is."""
    if isinstance(value, list) and value and all(isinstance(item, dict) and "name" in item for item in value):
        return {item["name"]: {k: v for k, v in item.items() if k != "name"} for item in value}
    return value


def _of_lists(was: list[Any], now: list[Any], sides: tuple[str, str]) -> str:
    """What only one of two lists holds; where that is nothing, they differ in order."""
    alone = [
        f"{', '.join(map(_shown, only))} only {side}"
        for only, side in (
            ([item for item in was if item not in now], sides[0]),
            ([item for item in now if item not in was], sides[1]),
        )
        if only
    ]
    return " and ".join(alone) or "the same in another order"


def _shown_apart(was: Any, now: Any) -> tuple[str, str]:
    """Two values in few characters each: of two long texts where they part, with a little around it."""
    texts = isinstance(was, str) and isinstance(now, str) and bool(was and now)
    if not texts or max(len(was), len(now)) <= _SHORT or _is_digest(was) or _is_digest(now):
        return _shown(was), _shown(now)
    start = max(0, _alike(was, now) - _AROUND)
    was, now = was[start:], now[start:]
    cut = max(0, _alike(was[::-1], now[::-1]) - _AROUND)
    ends = ("..." if start else "", "..." if cut else "")
    before, after = (repr(_cut(text[: len(text) - cut], 2 * _SHORT).join(ends)) for text in (was, now))
    return before, after


def _alike(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def _shown(value: object) -> str:
    """A value in few characters; what is missing or empty is called nothing."""
    if value is None or value == "":
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "something" if value else "nothing"
    if isinstance(value, str) and _is_digest(value):
        return value[:8]
    text = shown(value)
    if isinstance(value, str) and text != value:
        text = repr(value)  # white space is the difference, or part of it
    return _cut(text, _SHORT)


def _cut(text: str, length: int) -> str:
    half = length // 2 - 1
    return text if len(text) <= length else f"{text[:half]}...{text[-half:]}"
