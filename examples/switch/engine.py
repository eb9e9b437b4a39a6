"""What answers: conversations go in with a live token in their system turn, pieces of an answer come out."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Protocol

from margin.inputs.modes import Message


@dataclass(frozen=True)
class Piece:
    """A piece of an answer as the engine made it: it may hold a token, or a part of one."""

    text: str = ""
    field: str = "content"
    """Where the text belongs: "content", or what the engine calls its thoughts."""
    finish: str | None = None
    """With the last piece, why the answer ends: "stop", "length" or "content_filter"."""


class Engine(Protocol):
    """One model, asked one conversation at a time or many."""

    @property
    def name(self) -> str:
        """What callers call the model."""

    def answer(self, messages: list[Message], options: Mapping[str, float]) -> AsyncGenerator[Piece]:
        """The pieces of one answer, the last with its `finish`; whoever leaves early closes the generator.

        Raises
        ------
        Refused : the engine cannot answer. Holds nothing of the conversation.
        """

    async def close(self) -> None:
        """Let go of what it holds: no more is asked."""


class Refused(Exception):  # noqa: N818 - an answer to the caller, too
    """A request that gets no answer: the HTTP status and one line for the caller."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message
