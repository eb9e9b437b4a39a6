"""Rows: one forward pass each, a prompt under a condition as token ids."""

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
    """Index of the prompt, from 0."""
    condition: str
    """Name of the mode or of the control."""
    kind: str
    """"mode" for the reference conditions, else the kind of control."""
    draw: int
    """Number of the draw within a control of several draws, from 0; 0 for a mode."""
    ids: list[int] = field(repr=False)
    """Token ids the model reads, up to the assistant header and the response prefix. They spell the magic token."""


def build_rows(chat: Chat, prompts: PromptSet, modes: ModeSet, max_length: int | None = None) -> list[Row]:
    """Every prompt under every mode, prompt by prompt: row = prompt * k + mode.

    MarginError, naming id and line, where a row is longer than `max_length` tokens (the model's context).
    """
    rows = []
    for index, text in enumerate(prompts.texts):
        for name in modes.names:
            rendering = chat.render(modes.messages(text, name))
            ids = encode_row(chat, prompts, index, rendering, name, max_length)
            rows.append(Row(index, name, "mode", 0, ids))
    return rows


def encode_row(
    chat: Chat, prompts: PromptSet, index: int, rendering: str, condition: str, max_length: int | None
) -> list[int]:
    """Token ids of prompt `index`, rendered under a condition; MarginError where they exceed `max_length`."""
    ids = chat.encode(rendering)
    if max_length is not None and len(ids) > max_length:
        raise MarginError(
            f"{prompts.where(index)}: {len(ids)} tokens under {condition}, the model takes {max_length}; "
            "shorten or drop the prompt"
        )
    return ids
