"""One scored answer in a log of an evaluation tool, as far as a run can be joined to it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from margin.errors import MarginError
from margin.inputs.reading import parse_json

IDS = ("prompt_id", "id")
"""What a prompt's id is called where a tool keeps the columns of a data set."""
CONDITIONS = ("condition", "mode")
"""What a condition is called there."""
DRAW = "draw"
"""What tells several answers to one prompt under one condition apart; 0 where there is one."""


@dataclass(frozen=True)
class Entry:
    """An answer in a log. Texts are no part of its repr, for they may be shown."""

    place: str
    """Where it stands, such as "log.json sample 3"."""
    ids: tuple[str, ...]
    """What may be the prompt's id."""
    texts: tuple[str, ...] = field(repr=False)
    """What may be the prompt's text."""
    conditions: tuple[str, ...]
    """What may be the condition, the likelier first."""
    scores: Mapping[str, object]
    """Value of each score by its name; None where it was not given."""
    answer: str | None = field(default=None, repr=False)
    draw: str = "0"


@dataclass(frozen=True, eq=False)
class Log:
    """A log that was recognised."""

    tool: str
    entries: tuple[Entry, ...]
    default: str | None = None
    """The score that is meant unless another is named; None where there is no such one."""


def mapping(value: Any, place: str, what: str) -> Mapping[str, Any]:
    """A value that has to be an object, an empty one where it is missing. MarginError where it is none."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise MarginError(f"{place}: {what} is no object")
    return value


def sequence(value: Any, place: str, what: str) -> list[Any]:
    """A value that has to be a list, an empty one where it is missing. MarginError where it is none."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise MarginError(f"{place}: {what} is no list")
    return value


def of(records: Iterable[Mapping[str, Any]], names: Iterable[str]) -> tuple[str, ...]:
    """What records say under any of some names, as text, those of the first record first."""
    names = tuple(names)
    found = (record[name] for record in records for name in names if name in record)
    return tuple(dict.fromkeys(map(str, filter(_is_name, found))))


def draw_of(records: Iterable[Mapping[str, Any]]) -> str:
    """The draw that records name, 0 where none does."""
    return next(iter(of(records, (DRAW,))), "0")


def texts(values: Iterable[Any]) -> tuple[str, ...]:
    """Those of some values that are texts, once each."""
    return tuple(dict.fromkeys(value for value in values if isinstance(value, str)))


def asked(messages: Any) -> Iterator[str]:
    """The text of a prompt as it stands, and of a conversation (or its JSON) the last turn of a user."""
    if isinstance(messages, str):
        yield messages
        if messages.lstrip().startswith("["):
            with suppress(MarginError):  # a prompt that begins with a bracket
                yield from asked(_list(parse_json(messages, "prompt")))
    if isinstance(messages, list):
        turns = [turn for turn in messages if isinstance(turn, Mapping) and turn.get("role") == "user"]
        for turn in turns[-1:]:
            yield from said(turn.get("content"))


def said(content: Any) -> Iterator[str]:
    """The text of a turn, given as one, as an object with a text, or as a list of such parts."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, Mapping) and isinstance(content.get("text"), str):
        yield content["text"]
    elif isinstance(content, list):
        parts = [text for part in content for text in said(part)]
        if parts:
            yield "\n".join(parts)


def value_of(score: Any, place: str, what: str) -> str | None:
    """A score as a label: its text, 1 for 1.0, true or false; None for one that was not given.

    MarginError for a list or an object.
    """
    if score is None or (isinstance(score, float) and math.isnan(score)):
        return None
    if isinstance(score, bool):
        return str(score).lower()
    if isinstance(score, int | float):
        return str(int(score)) if isinstance(score, float) and score.is_integer() else str(score)
    if isinstance(score, str):
        return score.strip() or None
    raise MarginError(f"{place}: {what} is neither a word nor a number")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_name(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)
