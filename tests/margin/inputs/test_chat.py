"""Rendering through a real tokenizer's template, and templates that object."""

from __future__ import annotations

import pytest

from margin.errors import MarginError
from margin.inputs.chat import Chat, load_template, parse_kwargs

MESSAGES = [{"role": "system", "content": "s3cret"}, {"role": "user", "content": "Hi?"}]


def test_a_rendering_is_the_tokenizers_own_and_its_ids_too(make_chat):
    chat = make_chat("llama3", response_prefix="Sure")
    own = chat.tokenizer.apply_chat_template(MESSAGES, add_generation_prompt=True, tokenize=False)
    assert chat.render(MESSAGES) == own + "Sure"
    bare = make_chat("llama3")
    ids = bare.tokenizer.apply_chat_template(MESSAGES, add_generation_prompt=True)["input_ids"]
    assert bare.encode(bare.render(MESSAGES)) == ids
    assert bare.render(MESSAGES).startswith(bare.transcript(MESSAGES))


def test_kwargs_reach_the_template(make_chat):
    chat = make_chat("switchable_thought", kwargs={"enable_thinking": False})
    assert chat.render(MESSAGES).endswith("<think>\n\n</think>\n\n")
    with pytest.raises(MarginError, match="chat kwargs may not set 'add_generation_prompt'"):
        make_chat("chatml", kwargs={"add_generation_prompt": False})


def test_a_template_of_ones_own_replaces_the_tokenizers(make_chat, tmp_path):
    path = tmp_path / "chat.jinja"
    path.write_text("{% for m in messages %}{{ m.content }}|{% endfor %}")
    chat = Chat(make_chat("chatml").tokenizer, chat_template=load_template(path))
    assert chat.render(MESSAGES) == "s3cret|Hi?|"
    path.write_text(" ")
    with pytest.raises(MarginError, match="is empty"):
        load_template(path)
    with pytest.raises(MarginError, match="No such file"):
        load_template(tmp_path / "none.jinja")


def test_no_template_says_how_to_give_one(make_chat):
    tokenizer = make_chat("chatml").tokenizer
    tokenizer.chat_template = None
    with pytest.raises(MarginError, match="--chat-template FILE"):
        Chat(tokenizer)


def test_a_refusal_is_quoted_without_the_message_it_quotes(make_chat):
    with pytest.raises(MarginError, match=r'System role not supported.*placement = "user-prefix"') as caught:
        make_chat("refuses_system").render(MESSAGES)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__context__ is None
    with pytest.raises(MarginError, match="endfor"):
        make_chat("syntax_error").render(MESSAGES)


@pytest.mark.parametrize(("text", "message"), [("{no", "not JSON"), ("[1]", "must be a JSON object")])
def test_kwargs_that_are_no_object_are_refused(text, message):
    assert parse_kwargs('{"enable_thinking": false}') == {"enable_thinking": False}
    with pytest.raises(MarginError, match=message):
        parse_kwargs(text)
