"""Special tokens that the chat template writes by name: the tokenizer has to name them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from margin.errors import MarginError
from margin.inputs.chat import Chat
from margin.inputs.modes import Message

NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_PROBE = "zq7markprobe7qz"


def require_named(chat: Chat, messages: Sequence[Message]) -> None:
    """MarginError where the template writes a special token that the tokenizer does not name.

    Jinja writes nothing for what is not defined: without tokenizer_config.json rows lose their first token,
    and the model answers otherwise. A template that asks whether there is one knows what it does.

    Cost: one rendering for each such name in the template.
    """
    for name in NAMES:
        if name in chat.kwargs or chat.tokenizer.special_tokens_map.get(name) or _asks(chat.template, name):
            continue
        if _PROBE in replace(chat, kwargs={**chat.kwargs, name: _PROBE}).render(messages):
            raise MarginError(
                f"the chat template writes {name}, and the tokenizer names none: is its "
                "tokenizer_config.json there and whole? if there is to be none, --chat-kwargs "
                f'\'{{"{name}": ""}}\''
            )


def _asks(template: str, name: str) -> bool:
    """Whether a template without the name, or one that looks whether there is such a token."""
    asked = rf"\b(if|and|or|not)\s*\(?\s*{name}\b|\b{name}\s*(is\b|\|\s*default)"
    return name not in template or re.search(asked, template) is not None
