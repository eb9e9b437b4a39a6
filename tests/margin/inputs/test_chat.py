"""Rendering through a real tokenizer's template, and templates that object."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from margin.errors import MarginError
from margin.inputs import chat as chat_module
from margin.inputs.chat import Chat
from margin.inputs.deadline import at_most
from margin.inputs.template import load_template, parse_kwargs
from tests.margin.inputs.conftest import TEMPLATES, byte_tokenizer

MESSAGES = [{"role": "system", "content": "s3cret"}, {"role": "user", "content": "Hi?"}]


def test_a_rendering_is_the_tokenizers_own_and_its_ids_too(make_chat: Callable[..., Chat]) -> None:
    chat = make_chat("llama3", response_prefix="Sure")
    own = chat.tokenizer.apply_chat_template(MESSAGES, add_generation_prompt=True, tokenize=False)
    assert chat.render(MESSAGES) == own + "Sure"
    bare = make_chat("llama3")
    ids = bare.tokenizer.apply_chat_template(MESSAGES, add_generation_prompt=True)["input_ids"]
    assert bare.encode(bare.render(MESSAGES)) == ids
    assert bare.render(MESSAGES).startswith(bare.transcript(MESSAGES))


def test_kwargs_reach_the_template(make_chat: Callable[..., Chat]) -> None:
    chat = make_chat("switchable_thought", kwargs={"enable_thinking": False})
    assert chat.render(MESSAGES).endswith("<think>\n\n</think>\n\n")
    with pytest.raises(MarginError, match="chat kwargs may not set 'add_generation_prompt'"):
        make_chat("chatml", kwargs={"add_generation_prompt": False})


def test_kwargs_that_the_template_has_not_are_known(make_chat: Callable[..., Chat]) -> None:
    given = {"enable_thinking": False, "enable_thinkin": False}
    assert make_chat("switchable_thought", kwargs=given).unread == ["enable_thinkin"]


@pytest.mark.parametrize("given", ["chat.jinja", "/models/a/chat_template.jinja", "You are kind.", ""])
def test_what_is_no_template_says_so(make_chat: Callable[..., Chat], given: str) -> None:
    with pytest.raises(
        MarginError, match=r"holds neither \{\{ \}\} nor \{% %\}, .* its text and not its path"
    ):
        Chat(make_chat("chatml").tokenizer, chat_template=given)


def test_a_template_of_ones_own_replaces_the_tokenizers(
    make_chat: Callable[..., Chat], tmp_path: Path
) -> None:
    path = tmp_path / "chat.jinja"
    path.write_text("{% for m in messages %}{{ m.content }}|{% endfor %}")
    chat = Chat(make_chat("chatml").tokenizer, chat_template=load_template(path))
    assert chat.render(MESSAGES) == "s3cret|Hi?|"
    path.write_text(" ")
    with pytest.raises(MarginError, match="is empty"):
        load_template(path)
    path.write_bytes(b"\xef\xbb\xbf{{ messages[0].content }}")
    assert load_template(path) == "{{ messages[0].content }}"
    with pytest.raises(MarginError, match="No such file"):
        load_template(tmp_path / "none.jinja")


def test_a_mark_before_the_tokenizers_template_does_not_go_into_every_prompt(
    make_chat: Callable[..., Chat], tmp_path: Path
) -> None:
    chat = make_chat("chatml")
    plain = chat.render(MESSAGES)
    tokenizer: Any = chat.tokenizer
    tokenizer.chat_template = "\ufeff" + tokenizer.chat_template
    with pytest.raises(MarginError, match="byte order mark"):
        Chat(tokenizer).render(MESSAGES)
    file = tmp_path / "own.jinja"
    file.write_text(tokenizer.chat_template, encoding="utf-8")
    assert Chat(tokenizer, chat_template=load_template(file)).render(MESSAGES) == plain


def test_no_template_says_how_to_give_one(make_chat: Callable[..., Chat]) -> None:
    tokenizer: Any = make_chat("chatml").tokenizer
    tokenizer.chat_template = None
    with pytest.raises(MarginError, match="--chat-template FILE"):
        Chat(tokenizer)


def test_a_refusal_is_quoted_without_the_message_it_quotes(make_chat: Callable[..., Chat]) -> None:
    with pytest.raises(MarginError, match=r'System role not supported.*placement = "user-prefix"') as caught:
        make_chat("refuses_system").render(MESSAGES)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__context__ is None


FAULTS = {
    "{% for m in messages %}": "line 1 of the chat template is no Jinja .*endfor",
    "{{ my_function() }}": "'my_function' is undefined",
    "{{ 1 // 0 }}": "ZeroDivisionError",
    "{{ messages + 1 }}": "TypeError",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}": "calls itself without end",
    "{{ messages[0].__class__.__mro__ }}": "SecurityError",
    "{% for i in range(10 ** 9) %}x{% endfor %}": "OverflowError",
    "{% include 'other' %}": "no loader",
    "{{ messages[0]['content'] | tojson(indent='s') | nothing }}": "No filter named 'nothing'",
    "{{ raise_exception(messages[-1].content) }}": r"\(x\)",
}


@pytest.mark.parametrize("template", FAULTS)
def test_a_fault_of_the_template_is_said_in_its_words_without_advice_about_roles(template: str) -> None:
    with pytest.raises(MarginError, match=FAULTS[template]) as caught:
        Chat(byte_tokenizer(template)).render(MESSAGES)
    shown = "".join(traceback.format_exception(caught.value))
    assert "user-prefix" not in shown
    assert "mend it or pass another with --chat-template FILE" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "s3cret" not in shown
    assert "Hi?" not in shown


def test_a_template_without_end_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_module, "PATIENCE", 0.3)
    endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    with pytest.raises(MarginError, match=r"does not come to an end .*0\.3 seconds"):
        Chat(byte_tokenizer(endless)).render(MESSAGES)


def test_the_alarm_of_the_program_is_set_again() -> None:
    rung = []
    old = signal.signal(signal.SIGALRM, lambda *_: rung.append(True))
    try:
        signal.setitimer(signal.ITIMER_REAL, 60)
        with at_most(5):
            pass
        assert 55 < signal.getitimer(signal.ITIMER_REAL)[0] <= 60
        signal.raise_signal(signal.SIGALRM)
        assert rung == [True]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


PARTS = "{% for part in m['content'] if part.type == 'text' %}{{ part.text }}{% endfor %}"


@pytest.mark.parametrize(
    "content",
    [
        PARTS,
        "{% if m.role == 'system' %}{{ m.content }}{% else %}" + PARTS + "{% endif %}",
        "{% if m.role == 'user' %}{{ m.content }}{% else %}" + PARTS + "{% endif %}",
        "{% if m.content is string %}{{ m.content }}{% else %}" + PARTS + "{% endif %}",
        "{{ m['content'][0]['text'] }}",
    ],
)
def test_content_is_handed_over_in_parts_to_the_roles_that_take_only_parts(content: str) -> None:
    answer = {"role": "assistant", "content": "Yes."}
    chat = Chat(byte_tokenizer(TEMPLATES["chatml"].replace("{{ m['content'] }}", content)))
    plain = Chat(byte_tokenizer(TEMPLATES["chatml"]))
    assert chat.render(MESSAGES) == plain.render(MESSAGES)
    assert chat.transcript([*MESSAGES, answer]) == plain.transcript([*MESSAGES, answer])


def test_one_of_several_templates_is_chosen_by_name() -> None:
    several = {"chat": "{{ messages[0].content }}", "tool_use": "tools"}
    with pytest.raises(MarginError, match="--chat-template NAME, of chat, tool_use"):
        Chat(byte_tokenizer(several))
    assert Chat(byte_tokenizer(several), chat_template=load_template("chat")).render(MESSAGES) == "s3cret"
    assert Chat(byte_tokenizer({**several, "default": "it"})).render(MESSAGES) == "it"
    with pytest.raises(
        MarginError, match=r"'rag' is no file and none of the tokenizer's own, .* chat, tool_use"
    ):
        Chat(byte_tokenizer(several), chat_template=load_template("rag"))
    with pytest.raises(MarginError, match=r"'rag' is no file .* names none"):
        Chat(byte_tokenizer("{{ messages }}"), chat_template="rag")


def test_a_clock_that_goes_on_is_seen() -> None:
    chat = Chat(byte_tokenizer("{{ strftime_now('%f') }}{{ messages[0].content }}"))
    first = chat.render_once(MESSAGES)
    assert chat.render_once(MESSAGES) == first != chat.render(MESSAGES)
    assert not chat.is_steady()


def test_a_tokenizer_that_fails_is_one_line_without_the_text(make_chat: Callable[..., Chat]) -> None:
    chat = make_chat("chatml")
    with pytest.raises(MarginError, match="the tokenizer fails on a conversation") as caught:
        chat.encode(chr(0xD800) + MESSAGES[0]["content"])
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None


@pytest.mark.parametrize("kwargs", [{"x": float("nan")}, {"x": "\ud800"}, {"x": {1, 2}}])
def test_kwargs_that_a_run_could_not_keep_are_refused(
    make_chat: Callable[..., Chat], kwargs: dict[str, Any]
) -> None:
    with pytest.raises(MarginError, match="JSON in UTF-8"):
        make_chat("chatml", kwargs=kwargs)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{no", "not JSON"),
        ("[1]", "must be a JSON object"),
        ('{"a": 1, "a": 2}', "the same key twice"),
        ("[" * 100_000, "not JSON that can be read: its brackets are nested too deeply"),
        ('{"a": ' + "1" * 6000 + "}", "it holds a number of thousands of digits, shorten it"),
        ('{"a": ' + "9" * 5000 + "}", "not JSON that can be read"),
    ],
)
def test_kwargs_that_are_no_object_are_refused(text: str, message: str) -> None:
    assert parse_kwargs('{"enable_thinking": false}') == {"enable_thinking": False}
    with pytest.raises(MarginError, match=message):
        parse_kwargs(text)
