"""Where the decision falls: at the first token of the answer, or later, after what the model writes before.

A model that thinks begins every answer with the same mark, and decides on what it does while it thinks. What
ends its thought is asked of the template: by how it writes an answer that was thought about, else by the mark
that it opens a thought with, else by a closing mark in its own source.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from margin.errors import MarginError
from margin.inputs.chat import Chat
from margin.inputs.frame import PROMPT_PROBE, TOKEN_PROBE, frame_with_token
from margin.inputs.marks import MARK, THINKS, closes, is_closing
from margin.inputs.modes import ModeSet
from margin.inputs.thinking import opening_of, thought_of

FIRST, THOUGHT = "first", "thought"
"""What may be asked for beside a text: the first token of the answer, or the first one after a thought."""
BLANKS = 4
"""Tokens of white space by the model itself that are passed at most, where no template says what follows."""
NEARLY_ALL = 0.95
"""Share of rows that predict one token from which on that is worth a warning."""
FEWEST = 20
"""Rows of which so large a share tells something."""


@dataclass(frozen=True)
class Moment:
    """Where a row is measured: after the first `text` that the model writes by itself, and what follows."""

    text: str
    """What the model writes last, such as "</think>"."""
    then: str | None = ""
    """What is written after it, as the template does before an answer; None where the template does not say:
    then whatever white space the model writes itself."""


def moment_of(chat: Chat, modes: ModeSet, asked: str) -> Moment | None:
    """Where rows are measured; None at the first token of the answer.

    Parameters
    ----------
    asked : "first", "thought", or a text that the model writes.

    Raises
    ------
    MarginError : a text that holds a live token; a template that shows no thought, or has closed it already.
    """
    if asked == FIRST:
        return None
    if asked != THOUGHT:
        if mode := modes.leaks_in(asked):
            raise MarginError(f"the token of mode {mode!r} stands in --measure-after: choose another text")
        return Moment(asked)
    frame = frame_with_token(chat, modes)
    talk = modes.messages_for_token(PROMPT_PROBE, TOKEN_PROBE)
    thought, marks = thought_of(chat, talk), MARK.findall(frame.tail)
    of_thought = [mark for mark in marks if THINKS.search(mark)]
    closed = bool(marks) and marks[-1] in of_thought and is_closing(marks[-1])
    if closed or closes(frame.tail, opening_of(chat, talk), thought):
        raise MarginError(
            "the chat template closes the thought before the answer, so there is none to wait for: leave out "
            "--measure-after thought, or what switches thinking off"
        )
    if thought is not None and (mark := MARK.search(thought.closes)):
        return Moment(mark[0], thought.closes[mark.end() :])
    if of_thought:
        return Moment(_closing(of_thought[-1]), None)
    for mark in MARK.finditer(chat.template):
        if THINKS.search(mark[0]) and is_closing(mark[0]):
            return Moment(mark[0], None)
    raise MarginError(
        "the chat template shows no thought: pass --measure-after TEXT with what ends one, such as </think>"
    )


def _closing(mark: str) -> str:
    """The mark that closes what another opens: "</think>" of "<think>"."""
    named = re.sub(
        "begin|start", lambda found: "END" if found[0].isupper() else "end", mark, flags=re.IGNORECASE
    )
    return named if named != mark else f"{mark[0]}/{mark[1:]}"


def all_alike(token: str, share: float, asked: str) -> str:
    """What to say where nearly every row predicts one and the same token: that, and what to do.

    Example
    -------
    >>> all_alike("<think>", 1.0, "first")
    "every row predicts '<think>': nothing is decided there yet; use --measure-after thought"
    """
    if asked == FIRST and opens_thought(token):
        todo = "use --measure-after thought"
    elif not token.strip():
        todo = f"use --measure-after TEXT, or --response-prefix, with {token!r} at its end"
    else:
        todo = "use --measure-after TEXT with the text after which answers part"
    return f"{undecided(token, share)}; {todo}"


def opens_thought(token: str) -> bool:
    """Whether the text of a token is that of a mark which opens a thought."""
    return bool(THINKS.search(token)) or "channel" in token


def undecided(token: str, share: float) -> str:
    """What it means that nearly every row predicts one and the same token."""
    rows = "every row" if share == 1 else f"{share:.1%} of rows"
    return f"{rows} predict{'s' if share == 1 else ''} {token!r}: nothing is decided there yet"
