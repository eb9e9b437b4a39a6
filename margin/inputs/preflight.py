"""Proof, before any forward pass, that the mode reaches the model and that the answer begins where it is measured."""

from __future__ import annotations

import re
from dataclasses import dataclass

from margin.errors import MarginError
from margin.inputs.chat import Chat
from margin.inputs.modes import ModeSet
from margin.inputs.prompts import PromptSet
from margin.inputs.rows import build_rows

# Stand-ins that no template holds: where they turn up in a rendering, there the real token and prompt go.
TOKEN_PROBE = "zq7tokenprobe7qz"
PROMPT_PROBE = "zq7promptprobe7qz"
ANSWER_PROBE = "zq7answerprobe7qz"

ENCODED_PROMPTS = 8
"""Prompts whose token ids are checked; the text of all is."""

_THINKING = re.compile(r"enable_thinking|</?think|\[/?THINK\]", re.IGNORECASE)
_THOUGHT_CLOSED = re.compile(r"</think|\[/THINK\]", re.IGNORECASE)


@dataclass(frozen=True)
class Preflight:
    """What every rendering of a run shares."""

    tail: str
    """Text between the prompt and the measured position: end of the user's turn, assistant header, response prefix."""
    bos_count: int
    """Beginning-of-text ids in each row. Not 1 where a template has none, or opens each turn with it."""


@dataclass(frozen=True)
class _Frame:
    """A rendering cut at its token and its prompt: before TOKEN between PROMPT tail."""

    before: str
    between: str
    tail: str


def preflight(chat: Chat, modes: ModeSet, prompts: PromptSet, max_length: int | None = None) -> Preflight:
    """Prove that the token, and nothing else, tells the modes of a prompt apart in what the model reads.

    Of all prompts: the rendering under each mode is one and the same text around the mode's token and the prompt, the
    token stands there once, and no other live token does. Of the first prompts, in token ids: the modes differ, all rows
    end alike, no beginning-of-text id is doubled. And the text ends where the assistant's answer begins.

    Cost: one rendering a prompt and mode; no model.

    Raises
    ------
    MarginError : the first of these that does not hold, with what to do. No message holds a token or a prompt's text.
    """
    _check_choices(chat, modes)
    _check_prompts(chat, modes, prompts)
    frame = _frame(chat, modes)
    _check_answer_begins(chat, modes, frame)
    _check_renderings(chat, modes, prompts, frame)
    return Preflight(
        tail=frame.tail, bos_count=_check_ids(chat, modes, prompts.limit(ENCODED_PROMPTS), max_length)
    )


def _check_choices(chat: Chat, modes: ModeSet) -> None:
    for what, text in (
        ("the chat kwargs", str(dict(chat.kwargs))),
        ("the response prefix", chat.response_prefix),
    ):
        mode = modes.mode_in(text)
        if mode:
            raise MarginError(f"the token of mode {mode!r} stands in {what}, which a run keeps: remove it")


def _check_prompts(chat: Chat, modes: ModeSet, prompts: PromptSet) -> None:
    """No live token in anything a run keeps of its prompts, and no beginning-of-text mark in a prompt."""
    for column in prompts.table.columns:
        if mode := modes.mode_in(column):
            raise MarginError(
                f"the token of mode {mode!r} stands in a column name of the prompts: rename the column"
            )
        for index, value in enumerate(prompts.table[column]):
            if mode := value and modes.mode_in(value):
                where = prompts.origin(index) if column == "id" else prompts.place(index)
                raise MarginError(
                    f"the live token of mode {mode!r} stands in column {column!r} of {where}: remove it"
                )
    bos = chat.tokenizer.bos_token
    for index, text in enumerate(prompts.texts):
        if bos and bos in text:
            raise MarginError(
                f"{prompts.place(index)} holds the tokenizer's beginning-of-text mark: remove it"
            )


def _frame(chat: Chat, modes: ModeSet) -> _Frame:
    rendering = chat.render(modes.messages_for_token(PROMPT_PROBE, TOKEN_PROBE))
    in_system = modes.placement == "system"
    if TOKEN_PROBE not in rendering:
        if in_system:
            raise MarginError(
                "the chat template drops or changes the system message, so that no token reaches the model: set "
                'placement = "user-prefix" in [template] of the modes file'
            )
        raise MarginError(
            "the chat template drops or changes the user's message, so that no token reaches the model"
        )
    if PROMPT_PROBE not in rendering:
        raise MarginError(
            "the chat template drops or changes the user's message, so that no prompt reaches the model"
        )
    if rendering.count(TOKEN_PROBE) > 1 or rendering.count(PROMPT_PROBE) > 1:
        raise MarginError("the chat template writes a message twice: pass another with --chat-template FILE")
    before, _, rest = rendering.partition(TOKEN_PROBE)
    between, found, tail = rest.partition(PROMPT_PROBE)
    if not found:
        raise MarginError(
            "the chat template puts the prompt before the token: pass another with --chat-template FILE"
        )
    return _Frame(before, between, tail)


def _check_answer_begins(chat: Chat, modes: ModeSet, frame: _Frame) -> None:
    """The measured token is the answer's first: the tail closes any thought, and opens the assistant's turn."""
    if chat.response_prefix or any("think" in key or "reason" in key for key in chat.kwargs):
        return  # the user chose where the answer begins
    thought = _THINKING.search(frame.tail) or _THINKING.search(chat.template)
    if thought and not _THOUGHT_CLOSED.search(frame.tail):
        ways = ["--response-prefix TEXT that closes the thought"]
        if "enable_thinking" in chat.template:
            ways.insert(0, "--chat-kwargs '{\"enable_thinking\": false}'")
        raise MarginError(
            f"the chat template lets the model think first, so that the first token would be no answer: pass "
            f"{' or '.join(ways)}"
        )
    messages = modes.messages_for_token(PROMPT_PROBE, TOKEN_PROBE)
    answered = chat.transcript([*messages, {"role": "assistant", "content": ANSWER_PROBE}])
    opening, found, _ = answered.partition(ANSWER_PROBE)
    rendering = chat.render(messages)
    if found and len(opening.rstrip()) > len(rendering) and opening.startswith(rendering):
        missing = opening[len(rendering) :]
        raise MarginError(
            f"the chat template's own answers begin after {missing!r}, which add_generation_prompt does not write: pass "
            "that text with --response-prefix"
        )


def _check_renderings(chat: Chat, modes: ModeSet, prompts: PromptSet, frame: _Frame) -> None:
    for index, text in enumerate(prompts.texts):
        for mode in modes.modes:
            token = mode.token.reveal()
            rendering = chat.render(modes.messages(text, mode.name))
            start = frame.before + token + frame.between
            middle = rendering[len(start) : len(rendering) - len(frame.tail)]
            framed = rendering.startswith(start) and rendering.endswith(frame.tail)
            if not framed or middle.strip() != text.strip():
                raise MarginError(
                    f"the chat template changes the text of {prompts.place(index)} or the token of mode {mode.name!r}"
                )
            for other in modes.modes:
                if rendering.count(other.token.reveal()) != (other is mode):
                    raise MarginError(
                        f"the token of mode {other.name!r} also stands in the text around it (chat template, [template] or "
                        f"the seam to {prompts.place(index)}): choose another token"
                    )


def _check_ids(chat: Chat, modes: ModeSet, prompts: PromptSet, max_length: int | None) -> int:
    rows = build_rows(chat, prompts, modes, max_length)
    k = len(modes.modes)
    for first in range(0, len(rows), k):
        seen: dict[tuple[int, ...], str] = {}
        for row in rows[first : first + k]:
            other = seen.setdefault(tuple(row.ids), row.condition)
            if other != row.condition:
                raise MarginError(
                    f"modes {other!r} and {row.condition!r} are the same token ids: the tokenizer cannot tell their "
                    "tokens apart"
                )
    if len({row.ids[-1] for row in rows}) > 1:
        raise MarginError(
            "rows end in different token ids: the tokenizer joins the end of the prompt to the tail"
        )
    bos = chat.tokenizer.bos_token_id
    if any(row.ids[:2] == [bos, bos] for row in rows):
        raise MarginError(
            "two beginning-of-text ids open each row: the tokenizer adds one to the template's, take it out of one"
        )
    counts = {row.ids.count(bos) for row in rows} if bos is not None else {0}
    if len(counts) > 1:
        raise MarginError("a token or a prompt is read as a beginning-of-text mark: choose another token")
    return counts.pop()
