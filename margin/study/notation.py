"""Numbers and intervals as text, the same in every rendering."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any


def model_name(model: str, adapter: str | None = None) -> str:
    """The model, and the adapter on it, as a title names them: a hub id as it stands, of a folder its name
    and not where it lies.

    Example
    -------
    >>> model_name("org/model", "/home/me/adapters/epoch-3")
    'org/model + epoch-3'
    """
    given = (model,) if adapter is None else (model, adapter)
    return " + ".join(Path(name).name if Path(name).is_absolute() else name for name in given)


def flat(record: dict[str, Any], prefix: str = "") -> dict[str, object]:
    """A nested record as one of dotted names; lists and what is missing in words."""
    out: dict[str, object] = {}
    for key, value in record.items():
        if isinstance(value, dict):
            out |= flat(value, f"{prefix}{key}.")
        else:
            out[f"{prefix}{key}"] = _words(value)
    return out


def _words(value: object) -> object:
    """A list as its items, a record among them as its entries; no value as a dash."""
    if isinstance(value, (list, tuple)):
        records = any(isinstance(item, dict) for item in value)
        return ("; " if records else ", ").join(str(_words(item)) for item in value) or "–"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_words(item)}" for key, item in value.items())
    return "–" if value is None or value == "" else value


def number(value: float | None, *, signed: bool = True) -> str:
    """A number to three decimals (three digits where it is large); a dash where there is none."""
    if value is None or math.isnan(value):
        return "–"
    sign = "+" if signed else ""
    return f"{value:{sign}.3f}" if abs(value) < 1000 else f"{value:{sign}.3g}"


def interval(low: float | None, high: float | None, *, signed: bool = True) -> str:
    """The interval as "[low, high]", a one-sided one as its bound; a dash where none is valid."""
    has_low, has_high = (end is not None and not math.isnan(end) for end in (low, high))
    left, right = number(low, signed=signed), number(high, signed=signed)
    if has_low and has_high:
        return f"[{left}, {right}]"
    if has_low:
        return f"[≥ {left}]"
    return f"[≤ {right}]" if has_high else "–"


def with_interval(value: float, low: float | None, high: float | None, *, signed: bool = True) -> str:
    """A number with its interval, where it has one."""
    return f"{number(value, signed=signed)} {interval(low, high, signed=signed)}".rstrip(" –")
