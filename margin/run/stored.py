"""What is stored and read again, as typed records; keys of later versions are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from margin.errors import MarginError
from margin.short import Short
from margin.text import shown

Record = dict[str, Any]
S = TypeVar("S", bound="Stored")

MISSING = "missing"
PLAINLY = {"missing": MISSING, "model_type": "should be an object", "dict_type": "should be an object"}
"""Faults that pydantic words for programmers, by their type."""


class Stored(Short, BaseModel):
    """A record of a file. Nothing is made to fit: "3" is no number, and true is none either."""

    model_config = ConfigDict(frozen=True, strict=True, extra="allow", defer_build=True)

    def to_dict(self) -> Record:
        """Plain record: the keys it was made with, and no others."""
        return self.model_dump(exclude_unset=True)

    def replace(self, **changes: Any) -> Self:
        """A record with some keys changed, checked as when it is read."""
        return type(self).model_validate({**self.to_dict(), **{k: _plain(v) for k, v in changes.items()}})


def validated(model: type[S], record: object, name: str, again: str) -> S:
    """A record as the model has it.

    Parameters
    ----------
    name : the file, or what the record is, for the error.
    again : what to do where the record is not as it should be: "collect into another folder".

    Raises
    ------
    MarginError : in one line the file, every key that is missing or of another kind, what is wrong with it,
        and what to do.
    """
    try:
        return model.model_validate(record)
    except ValidationError as error:
        wrong: dict[str, list[str]] = {}
        for fault in error.errors(include_url=False, include_context=False, include_input=False):
            what = PLAINLY.get(fault["type"], fault["msg"].removeprefix("Input "))
            wrong.setdefault(what, []).append(".".join(map(str, fault["loc"])))
    refuse(model, wrong, name, again)


def refuse(model: type[Stored], wrong: Mapping[str, list[str]], name: str, again: str) -> NoReturn:
    """MarginError that names the keys by what is wrong with them."""
    found = "; ".join(f"{shown(', '.join(keys))} ({how})" for how, keys in wrong.items())
    what = model.__name__.lower()
    raise MarginError(f"{name} does not say what a {what} says, at {found}: {again}")


def _plain(value: Any) -> Any:
    return value.to_dict() if isinstance(value, Stored) else value
