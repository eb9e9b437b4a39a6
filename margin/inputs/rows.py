"""Rows: one a forward pass, a prompt under a condition, as token ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from margin.errors import MarginError
from margin.inputs.chat import Chat
from margin.inputs.controls import Controls, conversations
from margin.inputs.modes import Message, ModeSet
from margin.inputs.prompts import PromptSet


@dataclass(frozen=True)
class Row:
    """One prompt under one condition."""

    prompt: int
    """Position of the prompt in its set."""
    condition: str
    """Name of the mode, or of the control."""
    kind: str
    """"mode" for the reference conditions, else the kind of control."""
    mode: str | None
    """Mode whose token stands where the modes' tokens stand; None where no live token does."""
    draw: int
    """Which of several draws of a random control; 0 elsewhere."""
    ids: list[int] = field(repr=False)
    """Token ids up to where the answer begins. They spell out a live token: as secret as it is."""


def build_rows(chat: Chat, prompts: PromptSet, modes: ModeSet, max_length: int | None = None) -> list[Row]:
    """Rows of all prompts under all modes, prompt-major: prompt i under mode m is row i * k + m.

    Parameters
    ----------
    max_length : the model's context in tokens; None knows no limit.

    Raises
    ------
    MarginError : a prompt whose row is longer than the context, named by id and line.
    """
    rows = []
    for index, text in enumerate(prompts.texts):
        for mode in modes.names:
            place = (prompts.place(index), f"mode {mode!r}")
            ids = _ids(chat, modes.messages(text, mode), place, max_length)
            rows.append(Row(index, mode, "mode", mode, 0, ids))
    return rows


def build_control_rows(
    chat: Chat,
    prompts: PromptSet,
    modes: ModeSet,
    controls: Controls,
    reference: Sequence[Row],
    max_length: int | None = None,
) -> list[Row]:
    """Rows of all prompts under all control conditions, prompt-major.

    Parameters
    ----------
    reference : the rows of `build_rows`, which passed the preflight.
    max_length : the model's context in tokens; None knows no limit.

    Raises
    ------
    MarginError : what `conversations` refuses; a row longer than the context, one that ends in another token
        than the modes' rows do, and a token drawn unlike the live ones that reaches the model as one of them.
    """
    live = {(row.prompt, tuple(row.ids)) for row in reference}
    rows = []
    for talk in conversations(controls, modes, prompts.texts):
        place = (prompts.place(talk.prompt), f"control {talk.condition!r}")
        ids = _ids(chat, talk.messages, place, max_length)
        if ids[-1] != reference[0].ids[-1]:
            raise MarginError(
                f"{' under '.join(place)} ends in another token than under the modes: leave it out"
            )
        if (talk.prompt, tuple(ids)) in live:
            raise MarginError(
                f"{' under '.join(place)} has the token ids of a mode: the tokenizer cannot tell its token "
                "apart, leave it out"
            )
        rows.append(Row(talk.prompt, talk.condition, talk.kind, talk.mode, talk.draw, ids))
    return rows


def _ids(chat: Chat, messages: list[Message], place: tuple[str, str], max_length: int | None) -> list[int]:
    ids = chat.encode(chat.render(messages))
    if max_length is not None and len(ids) > max_length:
        prompt, condition = place
        raise MarginError(
            f"{prompt} is {len(ids)} tokens long under {condition}, the model's context is {max_length}: "
            "shorten or remove it"
        )
    return ids
