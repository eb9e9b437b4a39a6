"""Values as a type of an option takes them, and in words what it takes."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from margin.text import shown

PLAIN = 8
"""Characters at most of a text that is shown where a number should be."""


def as_kind(value: object, kind: Any) -> Iterator[Any]:
    """The value as a type has it, a number of NumPy as Python's; nothing where it is of another."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        yield from [value] if isinstance(value, str) and value in inner else []
    elif kind is int:
        with suppress(TypeError):
            if not isinstance(value, bool):
                yield operator.index(value)  # type: ignore[arg-type]
    elif origin is Sequence:
        if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping):
            items = list(value)
            found = [read for item in items for read in as_kind(item, inner[0])]
            yield from [tuple(found)] if len(found) == len(items) else []
    elif origin is Mapping:
        if isinstance(value, Mapping) and all(isinstance(key, inner[0]) for key in value):
            yield value
    elif isinstance(value, origin or kind):
        yield value


def in_words(kind: Any, least: int | None) -> str:
    """What a type takes, for people; nothing of None."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " or ".join(inner)
    if origin is Sequence:
        return f"a list of {'whole numbers' if inner[0] is int else 'names'}"
    names = {bool: "true or false", str: "a text", Path: "a path", Mapping: "a mapping"}
    if kind is int:
        return "a whole number" if least is None else f"a whole number, at least {least}"
    return names.get(origin or kind, "")


def what_it_is(value: object) -> str:
    """A value where it is short and plain; of others the type, since a token may stand in them."""
    plain = isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= PLAIN)
    return shown(value) if plain else f"of type {type(value).__name__}"
