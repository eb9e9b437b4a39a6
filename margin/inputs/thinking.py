"""Whether the answer begins where a rendering ends, or a thought does: asked of the template.

Four questions. Does the rendering open something that a finished answer has not before it, and leave it open?
Does a switch that the template reads close it, or add a closed thought? Does the template tell the model to
think? How does it write an answer that was thought about? Names decide only what no rendering shows: that a
mark closes, and which variables may be switches of thinking.
"""

from __future__ import annotations

import json
import re
from typing import Any

from margin.errors import MarginError
from margin.inputs.chat import Chat
from margin.inputs.frame import PROMPT_PROBE, TOKEN_PROBE, Frame
from margin.inputs.marks import MARK, THINKS, Thought, apart, closes, ends_with, last_closes, leaves_open
from margin.inputs.modes import PLACEHOLDER, Message, ModeSet
from margin.inputs.switches import (
    SWITCH,
    Switch,
    is_budget,
    is_level,
    off_where_on,
    switch_names,
    switched_off,
)

ANSWER_PROBE = "zq7answerprobe7qz"
THOUGHT_PROBE = "zq7thoughtprobe7qz"
THOUGHT_FIELDS = ("reasoning_content", "reasoning", "thinking")
"""Where templates look for the thought of a message."""
_THOUGHT_MARK = re.compile(
    r"[<\[◁][^<>\[\]◁▷\n/]{0,20}(think|thought)[^<>\[\]◁▷\n]{0,20}[>\]▷]", re.IGNORECASE
)


def require_opening(chat: Chat, frame: Frame) -> None:
    """MarginError where nothing opens an answer, neither the template nor the user."""
    if not (frame.tail.strip() or chat.response_prefix):
        raise MarginError(
            "the chat template writes nothing after the prompt, so no answer begins there: "
            "pass --response-prefix TEXT"
        )


def check_answer_begins(chat: Chat, modes: ModeSet, frame: Frame) -> None:
    """Prove that a rendering ends where the assistant's answer begins, if the user chose no other place.

    A response prefix chooses, and so does a variable that switches thinking on. One that switches it off is
    believed, unless the rendering still opens a thought.

    Raises
    ------
    MarginError : the template opens a thought or lets the model open one, writes nothing to open an answer,
        or does not write what its answers begin with. Says what to pass.
    """
    choices = {key: value for key, value in chat.kwargs.items() if SWITCH.search(key)}
    if chat.response_prefix or any(value is True or is_budget(value) for value in choices.values()):
        return
    tail = frame.tail
    talk = modes.messages_for_token(PROMPT_PROBE, TOKEN_PROBE)
    opening, thought = opening_of(chat, talk), thought_of(chat, talk)
    switches = [Switch(chat, talk, name) for name in switch_names(chat)]
    if leaves_open(tail, opening, thought):
        rest, missing = apart(tail, opening)
        if missing.strip() and not thought and not switches and not THINKS.search(rest):
            raise MarginError(
                f"the chat template opens an answer with {rest!r}, but finished answers in it begin with "
                f"{missing!r}: mend it, or pass --response-prefix with what comes before the answer"
            )
        off = switched_off(switches, lambda other: other != tail and not leaves_open(other, opening, thought))
        raise MarginError(_may_think(off, thought.closes if thought else ""))
    closed = closes(tail, opening, thought)
    believed = bool(choices) or closed
    if choices and not closed and not any(map(is_level, choices.values())):
        _check_effect(chat, talk, choices, tail, thought)
    if not believed:
        off = switched_off(switches, lambda other: closes(other, tail, thought)) or off_where_on(switches)
        if off or _tells_to_think(modes, frame):
            raise MarginError(_may_think(off, _empty(tail, thought)))
    _check_opening(tail, opening)
    if thought and not believed and not any(switch.is_off for switch in switches):
        raise MarginError(
            "the chat template writes thoughts before answers, so the next token may not be the answer's: "
            f"collect with --measure-after thought, or, for answers without: pass --response-prefix "
            f"{_empty(tail, thought)!r}, or --chat-kwargs '{{\"thinking\": false}}' if the model has none"
        )


def _check_effect(
    chat: Chat, talk: list[Message], choices: dict[str, Any], tail: str, thought: Thought | None
) -> None:
    """What was chosen is no misspelt switch, and no value that its switch takes for another."""
    known = [Switch(chat, talk, name) for name in switch_names(chat, choices)]
    off = switched_off(known, lambda other: other != tail and closes(other, tail, thought))
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
    rest, missing = apart(tail, opening)
    # A space before the answer is part of the answer's first token in most vocabularies.
    short = not rest and opening.rstrip(" ") != tail.rstrip(" ")
    if short or (last_closes(rest) and MARK.search(missing) and not ends_with(rest, missing)):
        thinks = "collect with --measure-after thought, or, for answers without: "
        raise MarginError(
            f"the chat template begins its answers with {missing!r}, but does not write that to open one: "
            f"{thinks if THINKS.search(missing) else ''}pass --response-prefix {missing!r}"
        )


def _may_think(off: dict[str, Any], closing: str) -> str:
    switch = f"--chat-kwargs '{json.dumps(off)}' or " if off else ""
    text = repr(closing) if closing.strip() else "with the text that ends a thought"
    return (
        "the chat template lets the model think first, so its next token is not the answer's: collect "
        f"with --measure-after thought, or, for answers without: pass {switch}--response-prefix {text}"
    )


def _empty(tail: str, thought: Thought | None) -> str:
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


def opening_of(chat: Chat, talk: list[Message]) -> str | None:
    """What a finished answer has between prompt and answer; None where the template writes no such answer."""
    opening, found, _ = _after_prompt(chat, [*talk, _said({})]).partition(ANSWER_PROBE)
    return opening if found else None


def thought_of(chat: Chat, talk: list[Message]) -> Thought | None:
    """How the template writes a thought; None where it writes none."""
    said = _said(dict.fromkeys(THOUGHT_FIELDS, THOUGHT_PROBE))
    opens, thought, rest = _after_prompt(chat, [*talk, said]).partition(THOUGHT_PROBE)
    closes, answer, _ = rest.rpartition(THOUGHT_PROBE)[2].partition(ANSWER_PROBE)
    return Thought(opens, closes) if thought and answer else None


def _said(thought: dict[str, str]) -> Message:
    return {"role": "assistant", "content": ANSWER_PROBE, **thought}


def _after_prompt(chat: Chat, messages: list[Message]) -> str:
    try:
        return chat.transcript(messages).partition(PROMPT_PROBE)[2]
    except MarginError:  # a template of single turns
        return ""
