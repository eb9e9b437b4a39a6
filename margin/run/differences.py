"""What differs between two records, said so that a person sees it."""

from __future__ import annotations

import re
from typing import Any

Record = dict[str, Any]
_DIGEST = re.compile("[0-9a-f]{64}")
_SHORT = 40
"""Characters of a value that are shown."""


def differences(old: Record, new: Record, sides: tuple[str, str], prefix: str = "") -> list[str]:
    """Each entry that differs between two records, as "NAME: OLD in one, NEW in the other".

    `sides` says which is which, for example ("in the baseline", "in the run"). Lists are compared by what
    they hold, lists of records by the records' `name`. Of digests the first characters are shown.
    """
    found = []
    for key in {**old, **new}:
        was, now = _by_name(old.get(key)), _by_name(new.get(key))
        name = f"{prefix}{key}"
        if was == now:
            continue
        if isinstance(was, dict) and isinstance(now, dict):
            found += differences(was, now, sides, f"{name}.")
        elif isinstance(was, list) and isinstance(now, list):
            found.append(f"{name}: {_of_lists(was, now, sides)}")
        elif _is_digest(was) and _is_digest(now):
            found.append(f"{name}: other content ({was[:8]} {sides[0]}, {now[:8]} {sides[1]})")
        else:
            found.append(f"{name}: {_shown(was)} {sides[0]}, {_shown(now)} {sides[1]}")
    return found


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
    text = " ".join(str(value).split())
    if isinstance(value, str) and text != value:
        text = repr(value)  # white space is the difference, or part of it
    half = _SHORT // 2 - 1
    return text if len(text) <= _SHORT else f"{text[:half]}...{text[-half:]}"
