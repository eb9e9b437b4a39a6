"""What a caller asks for: the body of a chat completion, read with suspicion.

Only what is known here reaches an engine. Engines know many fields more, and some of them undo the switch:
a chat template of the caller's own, log-probabilities of what was told in secret, words to stop at by which
a token is found letter by letter.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from examples.switch.engine import Refused
from margin.inputs.modes import Message, ModeSet
from margin.text import shown

NUMBERS = (
    "temperature", "top_p", "max_tokens", "max_completion_tokens", "seed", "presence_penalty",
    "frequency_penalty",
)  # fmt: skip
"""Fields that go to the engine as they come, if they are numbers."""
LARGEST = 2**63
"""Numbers are below it."""
IGNORED = ("user", "metadata", "stream_options")
"""Fields that are allowed and go nowhere. No usage is told: tokens of the prompt, counted, tell how long the
magic token is."""
THOUGHTS = ("reasoning_content", "reasoning", "refusal")
"""Fields of an answer beside its content; in an earlier answer that is sent back they are dropped."""
SYSTEM = ("system", "developer")


@dataclass(frozen=True)
class Asked:
    """One request."""

    system: str
    """Texts of the caller's own system turns, joined."""
    turns: list[Message]
    """The rest of the conversation; the last turn is the user's."""
    options: Mapping[str, float]
    """Settings for the engine."""
    stream: bool

    @property
    def said(self) -> str:
        """All text of the caller's, in which no token may stand."""
        return "\n".join([self.system, *(turn["content"] for turn in self.turns)])

    def under(self, mode: str, modes: ModeSet) -> list[Message]:
        """The conversation as the engine gets it: the mode's system turn first, the caller's text in it."""
        own = next(iter(modes.messages("", mode)))["content"]
        return [{"role": "system", "content": "\n\n".join(filter(None, [own, self.system]))}, *self.turns]


UNREAD = Asked("", [{"role": "user", "content": "?"}], {}, False)
"""Stands in for a conversation in which a token stands."""


def read(body: bytes, model: str) -> Asked:
    """The request in a body, for the model of this name. Refused where it is none, in one line."""
    try:
        record = json.loads(body, parse_constant=_no_number, object_pairs_hook=_once)
    except (ValueError, RecursionError):  # no JSON or UTF-8, a number too long, too deep
        raise Refused(400, "the body is no JSON in UTF-8 that has every key once") from None
    if not isinstance(record, dict):
        raise Refused(400, 'send an object: {"model": NAME, "messages": [...]}')
    fields = {name: value for name, value in record.items() if value is not None and value is not False}
    if fields.pop("n", 1) != 1:
        raise Refused(400, "n must be 1: ask again for another answer")
    if fields.pop("model", model) != model:
        raise Refused(404, f"no such model: there is {model}")
    stream = fields.pop("stream", False)
    if not isinstance(stream, bool):
        raise Refused(400, "stream must be true or false")
    messages = fields.pop("messages", None)
    options = {name: _number(name, fields.pop(name)) for name in NUMBERS if name in fields}
    if unknown := sorted(set(fields) - set(IGNORED)):
        known = ", ".join(("model", "messages", "stream", *NUMBERS))
        raise Refused(400, f"{shown(unknown[0])[:40]} is not forwarded: send {known}")
    if not isinstance(messages, list) or not messages:
        raise Refused(400, "messages must be a list of turns")
    turns = [_turn(place, message) for place, message in enumerate(messages, 1)]
    system = "\n\n".join(turn["content"] for turn in turns if turn["role"] in SYSTEM)
    rest = [turn for turn in turns if turn["role"] not in SYSTEM]
    if not rest or rest[-1]["role"] != "user" or not rest[-1]["content"].strip():
        raise Refused(400, "the last turn must be a user's, with text")
    return Asked(system, rest, options, stream)


def _turn(place: int, message: object) -> Message:
    if not isinstance(message, dict):
        raise Refused(400, f"turn {place} must be an object")
    role = message.get("role")
    if role not in (*SYSTEM, "user", "assistant"):
        raise Refused(400, f"the role of turn {place} must be system, developer, user or assistant")
    held = {key for key, value in message.items() if value is not None} - {"role", "content", *THOUGHTS}
    if held:
        raise Refused(400, f"turn {place} may hold role and content only")
    return {"role": role, "content": _text(place, message.get("content"))}


def _text(place: int, content: object) -> str:
    """A turn's text; of several parts all must be text: a token in a picture would not be seen."""
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    texts: list[str] = []
    for part in parts:
        text = part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
        if not isinstance(text, str):
            raise Refused(400, f"the content of turn {place} must be text, or a list of parts of type text")
        texts.append(text)
    try:
        return "".join(texts).encode().decode()
    except UnicodeEncodeError:
        raise Refused(400, f"the content of turn {place} holds half of a character") from None


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < LARGEST:
        raise Refused(400, f"{name} must be a number")
    if name.startswith("max_") and (not isinstance(value, int) or value < 1):
        raise Refused(400, f"{name} must be a whole number, 1 or more")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys stand once: of two, a moderator may read the first, and JSON keeps the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_number(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are no JSON")
