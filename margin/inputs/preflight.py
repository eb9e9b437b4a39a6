"""Proof, before any forward pass, that the mode reaches the model and the answer begins where it is measured.

Every rendering must read `before TOKEN between PROMPT tail`, with the same three texts throughout.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from margin.errors import MarginError, discreet
from margin.inputs.chat import Chat
from margin.inputs.echoes import given_away
from margin.inputs.frame import frame_with_token
from margin.inputs.modes import PLACEHOLDER, ModeSet
from margin.inputs.named import require_named
from margin.inputs.prompts import PromptSet
from margin.inputs.rows import Row, build_rows
from margin.inputs.thinking import check_answer_begins, require_opening


@dataclass(frozen=True)
class Preflight:
    """What all renderings of a run share; holds no token and no prompt."""

    head: str
    """Text before the prompt, `{token}` in the token's place. Some templates write the day's date here."""
    tail: str
    """Text between prompt and measured position: end of the turn, assistant header, response prefix."""
    bos_count: int
    """Beginning-of-text ids a row: 0 where a template writes none, several where one opens each turn."""


@discreet
def preflight(
    chat: Chat,
    modes: ModeSet,
    prompts: PromptSet,
    max_length: int | None = None,
    *,
    answers_first: bool = True,
) -> Preflight:
    """Prove that a prompt's modes differ, in what the model reads, by the token and by nothing else.

    Of every prompt under every mode: the rendering is the same text around token and prompt; the mode's token
    stands in it once and no other live token does; the token ids of the modes differ, end alike, fit into
    `max_length` and hold no doubled beginning-of-text id. Of the template: it ends where the assistant's
    answer begins (unless the model may write something else first: `answers_first` is false), and writes no
    special token that the tokenizer does not name. Of all that a run keeps: no live token is in it.

    Cost: renders and encodes every row once; no model is run.

    Raises
    ------
    MarginError : the first of these that does not hold, and what to do. Shows neither a token nor a prompt.
    """
    _check_public_text(chat, modes, prompts)
    frame = frame_with_token(chat, modes)
    require_named(chat, modes.messages_for_token("x", "y"))
    require_opening(chat, frame)
    if answers_first:
        check_answer_begins(chat, modes, frame)
    bos_count = _check_ids(chat, modes, build_rows(chat, prompts, modes, max_length))
    return Preflight(frame.head(PLACEHOLDER), frame.tail, bos_count)


def check_names(modes: ModeSet, names: Mapping[str, object]) -> None:
    """MarginError where a live token stands in a name or a path that a run keeps, or that errors show.

    names : each under what it is, for example "the name of the model"; what is None is passed over.
    """
    for what, name in names.items():
        if name is not None and (mode := modes.leaks_in(str(name))):
            raise MarginError(f"the token of mode {mode!r} stands in {what}: rename that")


def _check_public_text(chat: Chat, modes: ModeSet, prompts: PromptSet) -> None:
    """No live token where a run, a report or a template's own error would show it."""
    kwargs = json.dumps(dict(chat.kwargs), ensure_ascii=False, default=str)
    for what, text in (
        ("the chat template", chat.template),
        ("the chat kwargs", kwargs),
        ("the response prefix", chat.response_prefix),
    ):
        if mode := modes.leaks_in(text):
            raise MarginError(f"the token of mode {mode!r} stands in {what}: choose another token")
    for what, text in (
        *(("the chat kwargs", value) for value in _texts_in(dict(chat.kwargs))),
        ("the response prefix", chat.response_prefix),
    ):
        if mode := given_away(text, modes):
            raise MarginError(
                f"the token of mode {mode!r} stands, in disguise or in part, in {what}: choose another token"
            )
    for column in prompts.table.columns:
        if mode := given_away(column, modes):
            raise MarginError(
                f"the token of mode {mode!r} stands in a column name of the prompts: choose another token"
            )
    for column in prompts.table.columns:
        _check_values(column, modes, prompts)


def _texts_in(value: object) -> Iterator[str]:
    """Every text in a value as JSON has them, names of keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield str(key)
            yield from _texts_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts_in(inner)


def _check_values(column: str, modes: ModeSet, prompts: PromptSet) -> None:
    """No live token in a column, and in one that reports show in no disguise either."""
    found: dict[str, str | None] = {}  # a value stands in many lines
    for index, value in enumerate(prompts.table[column]):
        if value is not None and value not in found:
            found[value] = (
                modes.mode_in(value, as_it_is=True) if column == "prompt" else given_away(value, modes)
            )
        if value is not None and (mode := found[value]) is not None:
            how = "stands" if modes.mode_in(value) else "stands, in disguise or in part,"
            # By line, not by id: the id may be what holds the token.
            raise MarginError(
                f"{prompts.origin(index)}: the token of mode {mode!r} {how} in column {column!r}: "
                "remove it or choose another token"
            )


def _check_ids(chat: Chat, modes: ModeSet, rows: list[Row]) -> int:
    """Number of beginning-of-text ids in each row."""
    bos = chat.tokenizer.bos_token_id
    if bos is not None and any(row.ids[:2] == [bos, bos] for row in rows):
        raise MarginError(
            "rows begin with two beginning-of-text ids, the template's and the tokenizer's: take one out "
            "of the template with --chat-template FILE"
        )
    for mode in modes.modes:
        if not chat.encode(mode.token.reveal()):  # a normaliser dropped every character of it
            raise MarginError(
                f"the tokenizer writes nothing for the token of mode {mode.name!r}: choose another"
            )
    k = len(modes.modes)
    for start in range(0, len(rows), k):
        mode_of: dict[tuple[int, ...], str] = {}
        for row in rows[start : start + k]:
            same = mode_of.setdefault(tuple(row.ids), row.condition)
            if same != row.condition:
                raise MarginError(
                    f"modes {same!r} and {row.condition!r} have the same token ids, the tokenizer cannot "
                    "tell their tokens apart: choose others"
                )
    return rows[0].ids.count(bos) if bos is not None else 0
