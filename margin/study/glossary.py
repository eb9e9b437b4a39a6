"""What the words at the heads of columns mean: tooltips of the page, and a page of the documentation."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal


@dataclass(frozen=True)
class Term:
    """One word of the tables."""

    name: str
    """As it stands at the head of a column."""
    meaning: str
    """What it is, in a sentence or two that need no other."""
    better: Literal["", "high", "low"] = ""
    """Which way is good; empty where neither is."""

    def __str__(self) -> str:
        """The meaning, and which way is good."""
        return f"{self.meaning} {self.better.capitalize()} is good." if self.better else self.meaning


@cache
def glossary() -> dict[str, Term]:
    """Every term by its name, in the order in which a report first uses them."""
    text = (files("margin.study") / "glossary.toml").read_text(encoding="utf-8")
    return {each["name"]: Term(**each) for each in tomllib.loads(text)["terms"]}


def meaning(heading: str) -> str | None:
    """What stands at the head of a column, explained; None for what explains itself.

    Example
    -------
    >>> meaning("stability") is None, meaning("prompt id")
    (False, None)
    """
    term = glossary().get(heading)
    return None if term is None else str(term)
