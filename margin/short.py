"""A short repr for what holds arrays, tables and records: what it is and its first numbers, in one line."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from margin.text import brief

LONGEST = 180
"""Characters of a repr at most, beside the name of the class."""
LONGEST_VALUE = 60
"""Characters of a single value in it."""


class Short:
    """Gives what inherits from it a repr of one line: arrays and tables by their shape, the rest cut.

    Example
    -------
    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Found(Short):
    ...     measure: str
    ...     samples: list[float]
    ...     lowest: float
    >>> Found("margin", [0.5] * 9000, 1 / 3)
    Found(measure='margin', samples=<9000>, lowest=0.3333)
    """

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        if "__repr__" not in vars(cls):  # in the class itself: dataclass writes its own over an inherited one
            cls.__repr__ = Short.__repr__  # type: ignore[method-assign]

    def __repr__(self) -> str:
        parts, length = [], 0
        for name, value in _shown(self):
            part = f"{name}={_word(value)}"
            length += len(part) + 2
            if length > LONGEST - 1:
                parts.append("…")
                break
            parts.append(part)
        return f"{type(self).__name__}({', '.join(parts)})"

    def __str__(self) -> str:
        return repr(self)


def _shown(record: object) -> Iterator[tuple[str, Any]]:
    """Fields that are known, by name; those first found out when they are asked for are none."""
    if is_dataclass(record):
        names = [field.name for field in fields(record) if field.repr]
    else:
        names = list(getattr(type(record), "model_fields", ()))
    found = ((name, getattr(record, name)) for name in names if not name.startswith("_"))
    return ((name, value) for name, value in found if value is not None)


def _word(value: object) -> str:
    """A value in a few characters."""
    shape = getattr(value, "shape", None)
    if shape:
        return f"<{' x '.join(map(str, shape))}>"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, str):
        return repr(value if len(value) <= LONGEST_VALUE else brief(value, LONGEST_VALUE))
    if isinstance(value, Mapping | Collection):
        text = repr(value) if all(isinstance(one, str | int) for one in value) else ""
        small = not isinstance(value, Mapping) and text and len(text) <= LONGEST_VALUE
        return text if small else f"<{len(value)}>"
    text = str(value) if type(value).__str__ is not object.__str__ else repr(value)
    return text if len(text) <= LONGEST_VALUE else f"<{type(value).__name__}>"
