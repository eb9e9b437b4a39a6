"""Rows: one a forward pass, a prompt under a condition, as token ids."""

from __future__ import annotations

from dataclasses import dataclass, field

from margin.errors import MarginError
from margin.inputs.chat import Chat
from margin.inputs.modes import ModeSet
from margin.inputs.prompts import PromptSet


@dataclass(frozen=True)
class Row:
    """One prompt under one condition."""

    prompt: int
    """Position of the prompt in its set."""
    condition: str
    """Name of the mode, or of the control."""
    kind: str
    """"mode" for the reference conditions."""
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
            ids = chat.encode(chat.render(modes.messages(text, mode)))
            if max_length is not None and len(ids) > max_length:
                raise MarginError(
                    f"{prompts.place(index)} is {len(ids)} tokens long under mode {mode!r}, the model's "
                    f"context is {max_length}: shorten or remove it"
                )
            rows.append(Row(prompt=index, condition=mode, kind="mode", draw=0, ids=ids))
    return rows
