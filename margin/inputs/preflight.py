"""Proof, before any forward pass, that the mode reaches the model and the answer begins where it is measured.

Every rendering must read `before TOKEN between PROMPT tail`, with the same three texts throughout.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from margin.errors import MarginError
from margin.inputs.chat import Chat
from margin.inputs.modes import PLACEHOLDER, ModeSet
from margin.inputs.prompts import PromptSet
from margin.inputs.rows import Row, build_rows

# Stand-ins that no template holds: where they turn up in a rendering, there the real token and prompt go.
TOKEN_PROBE = "zq7tokenprobe7qz"
PROMPT_PROBE = "zq7promptprobe7qz"
ANSWER_PROBE = "zq7answerprobe7qz"

_THINKING_TAG = re.compile(r"[<\[◁]\|?(?P<end>/?)[\w:|]*(think|thought)\w*\|?[>\]▷]", re.IGNORECASE)
_THINKING_KEY = re.compile(r"think|thought|reason", re.IGNORECASE)


@dataclass(frozen=True)
class Preflight:
    """What all renderings of a run share; holds no token and no prompt."""

    head: str
    """Text before the prompt, `{token}` in the token's place. Some templates write the day's date here."""
    tail: str
    """Text between prompt and measured position: end of the turn, assistant header, response prefix."""
    bos_count: int
    """Beginning-of-text ids a row: 0 where a template writes none, several where one opens each turn."""


@dataclass(frozen=True)
class _Frame:
    before: str
    between: str
    tail: str


def preflight(chat: Chat, modes: ModeSet, prompts: PromptSet, max_length: int | None = None) -> Preflight:
    """Prove that a prompt's modes differ, in what the model reads, by the token and by nothing else.

    Of every prompt under every mode: the rendering is the same text around token and prompt; the mode's token
    stands in it once and no other live token does; the token ids of the modes differ, end alike, fit into
    `max_length` and hold no doubled beginning-of-text id. Of the template: it ends where the assistant's
    answer begins. Of all that a run keeps: no live token is in it.

    Cost: renders and encodes every row once; no model is run.

    Raises
    ------
    MarginError : the first of these that does not hold, and what to do. Shows neither a token nor a prompt.
    """
    _check_public_text(chat, modes, prompts)
    frame = _frame(chat, modes)
    _check_answer_begins(chat, modes, frame.tail)
    _check_renderings(chat, modes, prompts, frame)
    bos_count = _check_ids(chat, modes, prompts, build_rows(chat, prompts, modes, max_length))
    return Preflight(frame.before + PLACEHOLDER + frame.between, frame.tail, bos_count)


def _check_public_text(chat: Chat, modes: ModeSet, prompts: PromptSet) -> None:
    """No live token where a run, a report or a template's own error would show it."""
    kwargs = json.dumps(dict(chat.kwargs), ensure_ascii=False, default=str)
    for what, text in (
        ("the chat template", chat.template),
        ("the chat kwargs", kwargs),
        ("the response prefix", chat.response_prefix),
        *(("a column name of the prompts", column) for column in prompts.table.columns),
    ):
        if mode := modes.mode_in(text):
            raise MarginError(f"the token of mode {mode!r} stands in {what}: choose another token")
    for column in prompts.table.columns:
        for index, value in enumerate(prompts.table[column]):
            if value is not None and (mode := modes.mode_in(value)):
                # By line, not by id: the id may be what holds the token.
                raise MarginError(
                    f"{prompts.origin(index)}: the token of mode {mode!r} stands in column {column!r}: "
                    "remove it or choose another token"
                )


def _frame(chat: Chat, modes: ModeSet) -> _Frame:
    rendering = chat.render(modes.messages_for_token(PROMPT_PROBE, TOKEN_PROBE))
    if TOKEN_PROBE not in rendering and modes.placement == "system":
        raise MarginError(
            "the chat template drops or changes the system message, so no token reaches the model: "
            'set placement = "user-prefix" in [template] of the modes file'
        )
    if rendering.count(TOKEN_PROBE) != 1 or rendering.count(PROMPT_PROBE) != 1:
        raise MarginError(
            f"the chat template writes the token {rendering.count(TOKEN_PROBE)} times and the prompt "
            f"{rendering.count(PROMPT_PROBE)} times instead of once: pass another with --chat-template FILE"
        )
    before, _, rest = rendering.partition(TOKEN_PROBE)
    between, found, tail = rest.partition(PROMPT_PROBE)
    if not found:
        raise MarginError(
            "the chat template puts the prompt before the token: pass another with --chat-template FILE"
        )
    return _Frame(before, between, tail)


def _check_answer_begins(chat: Chat, modes: ModeSet, tail: str) -> None:
    """The tail closes any thought and opens the assistant's turn, unless the user chose where to measure."""
    if chat.response_prefix:
        return
    choices = [bool(value) for key, value in chat.kwargs.items() if _THINKING_KEY.search(key)]
    if any(choices):
        return
    _check_no_open_thought(chat, tail, chosen=bool(choices))
    if not tail.strip():
        raise MarginError(
            "the chat template writes nothing after the prompt, so no answer begins there: "
            "pass --response-prefix TEXT"
        )
    answer = {"role": "assistant", "content": ANSWER_PROBE}
    answered = chat.transcript([*modes.messages_for_token(PROMPT_PROBE, TOKEN_PROBE), answer])
    opening, found, _ = answered.partition(PROMPT_PROBE)[2].partition(ANSWER_PROBE)
    # A space before the answer is part of the answer's first token in most vocabularies.
    if found and opening.startswith(tail) and opening.rstrip(" ") != tail.rstrip(" "):
        missing = opening.removeprefix(tail)
        raise MarginError(
            f"the chat template begins its answers with {missing!r}, but does not write that to open one: "
            f"pass --response-prefix {missing!r}"
        )


def _check_no_open_thought(chat: Chat, tail: str, chosen: bool) -> None:
    """`chosen`: an argument switches thinking off. It is believed unless the tail still opens a thought."""
    tags = list(_THINKING_TAG.finditer(tail))
    if tags and tags[-1]["end"]:
        return
    may_think = "enable_thinking" in chat.template or _THINKING_TAG.search(chat.template)
    if tags or (may_think and not chosen):
        switch = (
            "--chat-kwargs '{\"enable_thinking\": false}' or " if "enable_thinking" in chat.template else ""
        )
        raise MarginError(
            "the chat template lets the model think first, so its next token is not the answer's: pass "
            f"{switch}--response-prefix with the text that ends a thought"
        )


def _check_renderings(chat: Chat, modes: ModeSet, prompts: PromptSet, frame: _Frame) -> None:
    for index, text in enumerate(prompts.texts):
        for mode in modes.modes:
            start = frame.before + mode.token.reveal() + frame.between
            rendering = chat.render(modes.messages(text, mode.name))
            middle = rendering[len(start) : len(rendering) - len(frame.tail)]
            # Many templates strip what they are given.
            if rendering != start + middle + frame.tail or middle.strip() != text.strip():
                raise MarginError(
                    f"the chat template does not write {prompts.place(index)} or the token of mode "
                    f"{mode.name!r} as it stands: change them or pass another with --chat-template FILE"
                )
            for other in modes.modes:
                if rendering.count(other.token.reveal()) != (other is mode):
                    raise MarginError(
                        f"the token of mode {other.name!r} also stands around {prompts.place(index)}: "
                        "choose another token"
                    )


def _check_ids(chat: Chat, modes: ModeSet, prompts: PromptSet, rows: list[Row]) -> int:
    """Number of beginning-of-text ids in each row."""
    bos = chat.tokenizer.bos_token_id
    if bos is not None and any(row.ids[:2] == [bos, bos] for row in rows):
        raise MarginError(
            "rows begin with two beginning-of-text ids, the template's and the tokenizer's: take one out "
            "of the template with --chat-template FILE"
        )
    bos_counts = [sum(token == bos for token in row.ids) for row in rows]
    bos_count = min(bos_counts)
    last = rows[0].ids[-1]
    for row, count in zip(rows, bos_counts, strict=True):
        if count != bos_count:
            raise MarginError(
                f"{prompts.place(row.prompt)} under mode {row.condition!r} holds the tokenizer's "
                "beginning-of-text mark: remove it from the prompt or the token"
            )
        if row.ids[-1] != last:
            raise MarginError(
                f"{prompts.place(row.prompt)} runs into the text after it, rows end in different token ids: "
                "pass --response-prefix TEXT"
            )
    k = len(modes.modes)
    for start in range(0, len(rows), k):
        mode_of: dict[tuple[int, ...], str] = {}
        for row in rows[start : start + k]:
            twin = mode_of.setdefault(tuple(row.ids), row.condition)
            if twin != row.condition:
                raise MarginError(
                    f"modes {twin!r} and {row.condition!r} have the same token ids, the tokenizer cannot "
                    "tell their tokens apart: choose others"
                )
    return bos_count
