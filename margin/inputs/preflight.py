"""Preflight: proof, before any forward pass, that every mode reaches the model and nothing else differs.

Every rendering must be `before + token + between + prompt + tail`, with the same three texts for all prompts and modes.
"""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass

from margin.errors import MarginError
from margin.inputs.chat import Chat
from margin.inputs.modes import SLOT, ModeSet
from margin.inputs.prompts import PromptSet
from margin.inputs.rows import encode_row

# Stand-ins that no chat template holds.
TOKEN, PROMPT, ANSWER = "Zq7vK2xW", "Wj4mT9rB", "Hd5nY3sL"
THOUGHT_TAG = re.compile(r"[<\[◁]\|?(?P<end>/?)[\w:|]*(think|thought)\w*\|?[>\]▷]", re.IGNORECASE)
THOUGHT_KEY = re.compile(r"think|thought|reason", re.IGNORECASE)


@dataclass(frozen=True)
class Preflight:
    """What the renderings of a run share. Holds no token and no prompt."""

    before: str
    """Text before the token."""
    between: str
    """Text between token and prompt."""
    tail: str
    """Text after the prompt: the assistant header and the response prefix."""
    bos_count: int
    """BOS tokens a row begins with: 0 or 1."""

    @property
    def head(self) -> str:
        """Text before the prompt, "{token}" in the token's place. Some templates write today's date here."""
        return self.before + SLOT + self.between


def preflight(chat: Chat, modes: ModeSet, prompts: PromptSet, max_length: int | None = None) -> Preflight:
    """Prove that each mode's token reaches the model, once, and that renderings differ in nothing else.

    Renders and encodes every prompt under every mode (some 0.1 ms a row). MarginError, in one line that shows neither token nor prompt, where the template
    drops, repeats or changes the token or the prompt, does not open the answer, or leaves a thought open
    that nobody asked for; where a token stands in a prompt, an id, a slice or the text around; where two
    modes have the same token ids; where a row begins with two BOS.
    """
    before, between, tail = _frame(chat, modes)
    _refuse_public_tokens(chat, modes, prompts, (before, between, tail))
    _require_opened_answer(chat, modes, tail)
    bos_count = _require_same_frame(chat, modes, prompts, (before, between, tail), max_length)
    return Preflight(before, between, tail, bos_count)


def _frame(chat: Chat, modes: ModeSet) -> tuple[str, str, str]:
    """The texts around token and prompt, found with stand-ins for both."""
    rendering = chat.render(modes.messages_for_token(PROMPT, TOKEN))
    if rendering.count(PROMPT) != 1:
        raise MarginError(
            f"the chat template writes the prompt {rendering.count(PROMPT)} times instead of once; "
            "give another with --chat-template FILE"
        )
    head, _, tail = rendering.partition(PROMPT)
    if TOKEN not in rendering and modes.placement == "system":
        raise MarginError(
            "the chat template drops the system message, so no token reaches the model; "
            'set placement = "user-prefix" under [template] in the modes file'
        )
    if head.count(TOKEN) != 1 or TOKEN in tail:
        raise MarginError(
            "the chat template does not write the token once, before the prompt; "
            "change the placement in the modes file or give another template with --chat-template FILE"
        )
    before, _, between = head.partition(TOKEN)
    return before, between, tail


def _refuse_public_tokens(
    chat: Chat, modes: ModeSet, prompts: PromptSet, frame: tuple[str, str, str]
) -> None:
    """Refuse a live token where it would be read twice, or be written to disk."""
    if name := next(filter(None, map(modes.mode_in, frame)), None):
        raise MarginError(
            f"the token of mode {name} stands in the chat template or the response prefix; choose another token"
        )
    if name := modes.mode_in(json.dumps(dict(chat.kwargs), ensure_ascii=False, default=str)):
        raise MarginError(f"the token of mode {name} stands in the chat kwargs; choose another token")
    if name := next(filter(None, map(modes.mode_in, prompts.table.columns)), None):
        raise MarginError(f"{prompts.source}: the token of mode {name} stands in a column's name; rename it")
    for index, cells in enumerate(prompts.table.itertuples(index=False)):
        for cell in cells:
            if isinstance(cell, str) and (name := modes.mode_in(cell)):
                where = modes.redact(prompts.where(index))
                raise MarginError(
                    f"{where}: the token of mode {name} stands here; drop it, or choose another token"
                )


def _require_opened_answer(chat: Chat, modes: ModeSet, tail: str) -> None:
    """Refuse a tail after which the next token is not the first of the response."""
    _refuse_unasked_thought(chat, tail)
    answered = chat.render_answered(modes.messages_for_token(PROMPT, TOKEN), ANSWER)
    _, _, rest = answered.partition(PROMPT)
    opening, found, _ = rest.partition(ANSWER)
    if chat.response_prefix or _asked_for_thought(chat):
        return
    if not tail.strip():
        raise MarginError(
            "the chat template puts nothing after the prompt, so no answer begins there; "
            "give its opening with --response-prefix TEXT"
        )
    # A finished answer may stand where the tail ends, or behind a space that its first token takes along.
    if found and not tail.startswith(opening) and opening.rstrip(" ") != tail.rstrip(" "):
        shared = len(_common_prefix(opening, tail))
        raise MarginError(
            f"the chat template begins answers with {opening!r}, the generation prompt ends in {tail!r}; "
            f"pass --response-prefix {opening[shared:]!r} to measure the first token of the response"
        )


def _refuse_unasked_thought(chat: Chat, tail: str) -> None:
    tags = list(THOUGHT_TAG.finditer(tail))
    is_open = bool(tags) and not tags[-1]["end"]
    is_closed = bool(tags) and not is_open
    template = chat.template or ""
    thinks = "enable_thinking" in template or THOUGHT_TAG.search(template) is not None
    choices = [value for key, value in chat.kwargs.items() if THOUGHT_KEY.search(key)]
    # An argument that was to switch thinking off counts only where no thought is left open.
    chosen = bool(chat.response_prefix) or (any(choices) if is_open else bool(choices))
    if (thinks or is_open) and not is_closed and not chosen:
        raise MarginError(
            "the chat template lets the model think first, so its next token is not the first of the response; "
            "pass --chat-kwargs '{\"enable_thinking\": false}', or end the thought with --response-prefix TEXT"
        )


def _asked_for_thought(chat: Chat) -> bool:
    return any(value for key, value in chat.kwargs.items() if THOUGHT_KEY.search(key))


def _common_prefix(one: str, other: str) -> str:
    return "".join(
        a for a, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    )


def _require_same_frame(
    chat: Chat, modes: ModeSet, prompts: PromptSet, frame: tuple[str, str, str], max_length: int | None
) -> int:
    """Refuse a row that is not the frame with token and prompt in it; return the number of BOS rows begin with."""
    before, between, tail = frame
    heads = {mode.name: before + mode.token.reveal() + between for mode in modes.modes}
    probes = {}
    for name, head in heads.items():
        rendering = chat.render(modes.messages(PROMPT, name))
        if rendering != head + PROMPT + tail:
            raise MarginError(
                f"the chat template drops or changes the token of mode {name}; choose one of letters and digits"
            )
        probes[name] = chat.encode(rendering)
    bos_id = chat.tokenizer.bos_token_id
    bos_count = max(_leading(ids, bos_id) for ids in probes.values())
    if bos_count > 1:
        raise MarginError(
            f"rows begin with {bos_count} BOS tokens instead of one; "
            "give a template that writes one with --chat-template FILE"
        )
    _require_distinct_ids(probes)
    for index, text in enumerate(prompts.texts):
        rows = {}
        for name, head in heads.items():
            rendering = chat.render(modes.messages(text, name))
            middle = rendering[len(head) : len(rendering) - len(tail)]
            # Templates may trim what they are given.
            if rendering != head + middle + tail or middle.strip() != text.strip():
                raise MarginError(
                    f"{prompts.where(index)}: the chat template does not write this prompt as it stands; "
                    "drop it, or give another template with --chat-template FILE"
                )
            ids = rows[name] = encode_row(chat, prompts, index, rendering, name, max_length)
            if ids.count(bos_id) != probes[name].count(bos_id):
                raise MarginError(
                    f"{prompts.where(index)}: the prompt holds the tokenizer's BOS; take it out"
                )
            if ids[-1] != probes[name][-1]:
                raise MarginError(
                    f"{prompts.where(index)}: the last token before the answer is not that of other prompts; "
                    "give a fixed opening with --response-prefix TEXT"
                )
        _require_distinct_ids(rows)
    return bos_count


def _require_distinct_ids(rows: dict[str, list[int]]) -> None:
    for (one, ids), (other, other_ids) in itertools.combinations(rows.items(), 2):
        if ids == other_ids:
            raise MarginError(
                f"modes {one} and {other} have the same token ids: the tokenizer cannot tell their tokens "
                "apart; choose others"
            )


def _leading(ids: list[int], token: int | None) -> int:
    return len(list(itertools.takewhile(lambda each: each == token, ids)))
