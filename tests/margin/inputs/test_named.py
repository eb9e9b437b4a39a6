"""Special tokens that a template writes and a tokenizer does not name."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from margin.errors import MarginError
from margin.inputs.chat import Chat
from margin.inputs.named import NAMES, require_named
from tests.margin.inputs.conftest import TEMPLATES, byte_tokenizer

MESSAGES = [{"role": "system", "content": "s3cret"}, {"role": "user", "content": "Hi?"}]


@pytest.mark.parametrize("name", sorted({*NAMES} - {"eos_token"}))
@pytest.mark.parametrize("write", ["{{ %s }}", "{{ %s ~ 'x' }}"])
def test_a_token_that_is_written_has_to_be_named(name: str, write: str) -> None:
    tokenizer = byte_tokenizer(write % name + TEMPLATES["chatml"], bos=None)
    with pytest.raises(MarginError, match=f"writes {name}, and the tokenizer names none") as refused:
        require_named(Chat(tokenizer), MESSAGES)
    assert "s3cret" not in str(refused.value)
    require_named(Chat(tokenizer, kwargs={name: ""}), MESSAGES)  # the way out that is offered
    setattr(tokenizer, name, "<|eot_id|>")
    require_named(Chat(tokenizer), MESSAGES)


def test_what_only_a_finished_answer_needs_may_be_missing(make_chat: Callable[..., Chat]) -> None:
    chat = make_chat("llama2")
    chat.tokenizer.eos_token = None  # type: ignore[attr-defined]
    require_named(chat, MESSAGES)


@pytest.mark.parametrize("write", ["{% if bos_token %}", "{% if bos_token is defined %}"])
def test_a_template_that_asks_for_a_token_knows_that_there_may_be_none(write: str) -> None:
    template = write + "{{ bos_token }}{% endif %}" + TEMPLATES["chatml"]
    require_named(Chat(byte_tokenizer(template, bos=None)), MESSAGES)
