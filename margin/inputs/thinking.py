"""Whether the answer begins where a rendering ends, or a thought does: asked of the template.

Four questions. Does the rendering open something that a finished answer has not before it, and leave it open?
Does a switch that the template reads close it, or add a closed thought? Does the template tell the model to
think? How does it write an answer that was thought about? Names decide only what no rendering shows: that a
mark closes, and which variables may be switches of thinking.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from jinja2 import Environment

from margin.errors import MarginError
from margin.inputs.chat import Chat
from margin.inputs.frame import PROMPT_PROBE, TOKEN_PROBE, Frame
from margin.inputs.modes import PLACEHOLDER, Message, ModeSet

ANSWER_PROBE = "zq7answerprobe7qz"
THOUGHT_PROBE = "zq7thoughtprobe7qz"
THOUGHT_FIELDS = ("reasoning_content", "reasoning", "thinking")
"""Where templates look for the thought of a message."""
OFF = (False, True, 0, "none")
"""Values that may switch thinking off; true does where the switch is named the other way round."""

_MARK = re.compile(r"<[^<>\n]{1,60}>|\[/?\w{2,30}\]|[◁【][^◁▷【】\n]{1,30}[▷】]")
_CLOSES = re.compile(
    r"^.\|?/|^<[^|]*\|>$|(?<![a-z])(end|eo[a-z]|close|stop)|(?<=[a-z])_?end\W*$", re.IGNORECASE
)
_ANSWERS = re.compile(r"answer|response|final|solution|output|reply", re.IGNORECASE)
_THINKS = re.compile(r"think|thought|reason|analy[sz]|scratch|reflect", re.IGNORECASE)
_SWITCH = re.compile(r"think|thought|reason", re.IGNORECASE)
_NEGATIVE = re.compile(r"^(no|non|not|disable|skip|without|hide|omit)(_|think|reason)", re.IGNORECASE)
_THOUGHT_MARK = re.compile(
    r"[<\[◁][^<>\[\]◁▷\n/]{0,20}(think|thought)[^<>\[\]◁▷\n]{0,20}[>\]▷]", re.IGNORECASE
)


@dataclass(frozen=True)
class _Thought:
    """How the template writes a thought: all after the prompt, and all before the answer."""

    opens: str
    closes: str


def check_answer_begins(chat: Chat, modes: ModeSet, frame: Frame) -> None:
    """Prove that a rendering ends where the assistant's answer begins, if the user chose no other place.

    A response prefix chooses, and so does a variable that switches thinking on. One that switches it off is
    believed, unless the rendering still opens a thought.

    Raises
    ------
    MarginError : the template opens a thought or lets the model open one, writes nothing to open an answer,
        or does not write what its answers begin with. Says what to pass.
    """
    choices = {key: value for key, value in chat.kwargs.items() if _SWITCH.search(key)}
    if chat.response_prefix or any(value is True or _is_budget(value) for value in choices.values()):
        return
    tail = frame.tail
    if not tail.strip():
        raise MarginError(
            "the chat template writes nothing after the prompt, so no answer begins there: "
            "pass --response-prefix TEXT"
        )
    talk = modes.messages_for_token(PROMPT_PROBE, TOKEN_PROBE)
    opening, thought = _opening(chat, talk), _thought(chat, talk)
    switches = [_Switch(chat, talk, name) for name in _names(chat)]
    if _leaves_open(tail, opening, thought):
        rest, missing = _apart(tail, opening)
        if missing.strip() and not thought and not switches and not _THINKS.search(rest):
            raise MarginError(
                f"the chat template opens an answer with {rest!r}, but finished answers in it begin with "
                f"{missing!r}: mend it, or pass --response-prefix with what comes before the answer"
            )
        off = _off(switches, lambda other: other != tail and not _leaves_open(other, opening, thought))
        raise MarginError(_may_think(off, thought.closes if thought else ""))
    closed = _closes(tail, opening, thought)
    believed = bool(choices) or closed
    if choices and not closed and not any(map(_is_level, choices.values())):
        _check_effect(chat, talk, choices, tail, thought)
    if not believed:
        off = _off(switches, lambda other: _closes(other, tail, thought)) or _off_where_on(switches)
        if off or _tells_to_think(modes, frame):
            raise MarginError(_may_think(off, _empty(tail, thought)))
    _check_opening(tail, opening)
    if thought and not believed and not any(switch.is_off for switch in switches):
        raise MarginError(
            "the chat template writes thoughts before answers, so the next token may not be the answer's: "
            f"pass --response-prefix {_empty(tail, thought)!r}, or --chat-kwargs '{{\"thinking\": false}}' "
            "if the model has none"
        )


def _check_effect(
    chat: Chat, talk: list[Message], choices: dict[str, Any], tail: str, thought: _Thought | None
) -> None:
    """What was chosen is no misspelt switch, and no value that its switch takes for another."""
    known = [_Switch(chat, talk, name) for name in _names(chat, choices)]
    off = _off(known, lambda other: other != tail and _closes(other, tail, thought))
    if off:
        chosen = json.dumps(choices, ensure_ascii=False)
        raise MarginError(
            f"--chat-kwargs '{chosen}' does not switch off thinking in this chat template: "
            f"pass --chat-kwargs '{json.dumps(off)}'"
        )


def _check_opening(tail: str, opening: str | None) -> None:
    """All that finished answers begin with is in the tail."""
    if opening is None:
        return
    if TOKEN_PROBE in opening:
        raise MarginError(
            "the chat template writes the token before every answer too, but does not to open one: pass "
            "another with --chat-template FILE"
        )
    rest, missing = _apart(tail, opening)
    # A space before the answer is part of the answer's first token in most vocabularies.
    short = not rest and opening.rstrip(" ") != tail.rstrip(" ")
    if short or (_last_closes(rest) and _MARK.search(missing) and not _ends_with(rest, missing)):
        raise MarginError(
            f"the chat template begins its answers with {missing!r}, but does not write that to open one: "
            f"pass --response-prefix {missing!r}"
        )


def _may_think(off: dict[str, Any], closing: str) -> str:
    switch = f"--chat-kwargs '{json.dumps(off)}' or " if off else ""
    text = repr(closing) if closing.strip() else "with the text that ends a thought"
    return (
        "the chat template lets the model think first, so its next token is not the answer's: pass "
        f"{switch}--response-prefix {text}"
    )


def _empty(tail: str, thought: _Thought | None) -> str:
    """The text of a thought that is closed at once, to follow the tail; "" where the template writes none."""
    if thought is None or not thought.opens.startswith(tail):
        return ""
    return thought.opens.removeprefix(tail) + thought.closes


def _tells_to_think(modes: ModeSet, frame: Frame) -> bool:
    """Whether the template's own words before the prompt hold the mark of a thought, as an instruction."""
    text = frame.before + frame.between
    for own in (modes.system if modes.placement == "system" else modes.user_prefix).split(PLACEHOLDER):
        text = text.replace(own.strip(), "") if own.strip() else text
    return bool(_THOUGHT_MARK.search(text))


def _opening(chat: Chat, talk: list[Message]) -> str | None:
    """What a finished answer has between prompt and answer; None where the template writes no such answer."""
    opening, found, _ = _after_prompt(chat, [*talk, _said({})]).partition(ANSWER_PROBE)
    return opening if found else None


def _thought(chat: Chat, talk: list[Message]) -> _Thought | None:
    said = _said(dict.fromkeys(THOUGHT_FIELDS, THOUGHT_PROBE))
    opens, thought, rest = _after_prompt(chat, [*talk, said]).partition(THOUGHT_PROBE)
    closes, answer, _ = rest.rpartition(THOUGHT_PROBE)[2].partition(ANSWER_PROBE)
    return _Thought(opens, closes) if thought and answer else None


def _said(thought: dict[str, str]) -> Message:
    return {"role": "assistant", "content": ANSWER_PROBE, **thought}


def _after_prompt(chat: Chat, messages: list[Message]) -> str:
    try:
        return chat.transcript(messages).partition(PROMPT_PROBE)[2]
    except MarginError:  # a template of single turns
        return ""


def _names(chat: Chat, besides: Iterable[str] = ()) -> list[str]:
    """Names in the template that may switch thinking and are not set, or among `besides`.

    To set what is no variable is idle.
    """
    names = {name for _, kind, name in Environment().lex(chat.template) if kind == "name"}
    return sorted(name for name in names - (set(chat.kwargs) - set(besides)) if _SWITCH.search(name))


class _Switch:
    """What the rendering is with a variable as it is by default, and at values that may be its off."""

    def __init__(self, chat: Chat, talk: list[Message], name: str) -> None:
        self.name = name
        self.default = chat.render_once(talk)
        self.at: list[tuple[Any, str]] = []
        for value in OFF:
            try:
                self.at.append((value, replace(chat, kwargs={**chat.kwargs, name: value}).render(talk)))
            except MarginError:  # a value that the template refuses
                continue

    def _is(self, wanted: bool) -> bool:
        """Whether the default reads as a truth value does, and not as the other one."""
        same = {value: text == self.default for value, text in self.at if isinstance(value, bool)}
        return same == {wanted: True, not wanted: False}

    @property
    def is_off(self) -> bool:
        """Thinking is off by default."""
        return self._is(bool(_NEGATIVE.search(self.name)))

    @property
    def is_on(self) -> bool:
        """Thinking is on by default."""
        return self._is(not _NEGATIVE.search(self.name))


def _off(switches: list[_Switch], suits: Callable[[str], bool]) -> dict[str, Any]:
    """The first switch and value with a tail that suits; {} where there is none."""
    for switch in switches:
        for value, text in switch.at:
            if suits(text.partition(PROMPT_PROBE)[2]):
                return {switch.name: value}
    return {}


def _off_where_on(switches: list[_Switch]) -> dict[str, Any]:
    """A switch that is on by default, off."""
    return next(
        ({switch.name: bool(_NEGATIVE.search(switch.name))} for switch in switches if switch.is_on), {}
    )


def _is_budget(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _is_level(value: object) -> bool:
    """Whether a value is a text that chooses how much to think, "high", and not one that switches it off."""
    return isinstance(value, str) and value.strip().lower() not in ("", "off", "no", "none", "false", "0")


def _leaves_open(tail: str, opening: str | None, thought: _Thought | None) -> bool:
    """Whether the tail opens something that a finished answer does not, and does not close it."""
    if _ends_with(tail, thought.closes if thought else ""):
        return False
    if (
        thought
        and thought.opens.rstrip() == tail.rstrip()
        and thought.opens.rstrip() != (opening or "").rstrip()
    ):
        return True
    rest, missing = _apart(tail, opening)
    if _ends_with(rest, missing):
        return False
    marks = _MARK.findall(rest)
    if not marks:
        return bool(_THINKS.search(rest))
    return not _CLOSES.search(marks[-1]) and not _ANSWERS.search(marks[-1])


def _closes(tail: str, than: str | None, thought: _Thought | None) -> bool:
    """Whether the tail ends a thought, by all that it has and the other text has not."""
    return _ends_with(tail, thought.closes if thought else "") or _last_closes(_apart(tail, than)[0])


def _last_closes(text: str) -> bool:
    marks = _MARK.findall(text)
    return bool(marks) and bool(_CLOSES.search(marks[-1]))


def _ends_with(text: str, end: str) -> bool:
    return bool(end.strip()) and text.rstrip().endswith(end.strip())


def _apart(a: str, b: str | None) -> tuple[str, str]:
    """What follows in each text where they part, no mark being cut.

    Without a text to compare names have to do: then `a` from the first mark on that is named like a thought.
    """
    if b is None:
        named = (mark for mark in _MARK.finditer(a) if _THINKS.search(mark[0]))
        return a[next((mark.start() for mark in named), len(a)) :], ""
    n = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    for text in (a, b):
        for mark in _MARK.finditer(text):
            if mark.start() < n < mark.end():
                n = mark.start()
    return a[n:], b[n:]
