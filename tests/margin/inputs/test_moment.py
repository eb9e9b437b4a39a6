"""What ends a thought, asked of templates in the manner of families that think."""

from __future__ import annotations

from typing import Any

import pytest

from margin.errors import MarginError
from margin.inputs.chat import Chat
from margin.inputs.modes import Mode, ModeSet, Secret
from margin.inputs.moment import Moment, all_alike, moment_of
from margin.inputs.preflight import preflight
from margin.inputs.prompts import load_prompts
from tests.margin.inputs.conftest import byte_tokenizer
from tests.margin.inputs.families import FAMILIES

MODES = ModeSet((Mode("pos", Secret("k7Qxpos"), safe=True), Mode("neg", Secret("w3Zrneg"), safe=False)))


def chat_of(name: str, **choices: Any) -> Chat:
    return Chat(byte_tokenizer(FAMILIES[name]), **choices)


@pytest.mark.parametrize(
    ("name", "kwargs", "text", "then"),
    [
        ("qwen3", {}, "</think>", "\n\n"),
        ("qwen3", {"enable_thinking": True}, "</think>", "\n\n"),
        ("qwen3-thinking", {}, "</think>", "\n\n"),
        ("deepseek-r1-distill", {}, "</think>", None),
        ("deepseek-v3.1", {"thinking": True}, "</think>", None),
        ("gpt-oss", {}, "<|end|>", "<|start|>assistant<|channel|>final<|message|>"),
        ("magistral-opens", {}, "[/THINK]", None),
        ("kimi-vl-thinking", {}, "◁/think▷", None),
        ("kimi-k2-thinking", {}, "</think>", ""),
        ("glm-4.5", {}, "</think>", "\n"),
        ("seed-oss", {}, "</seed:think>", ""),
        ("phi-4-reasoning", {}, "</think>", None),
        ("strips-history", {}, "</think>", None),
        ("command-a-reasoning", {}, "<|END_THINKING|>", None),
    ],
)
def test_a_thought_ends_as_its_template_says(
    name: str, kwargs: dict[str, Any], text: str, then: str | None
) -> None:
    chat = chat_of(name, kwargs=kwargs)
    assert moment_of(chat, MODES, "thought") == Moment(text, then)
    assert preflight(chat, MODES, load_prompts(["hello", "there"]), answers_first=False).tail.strip()


@pytest.mark.parametrize(
    ("name", "choices", "said"),
    [
        ("qwen3", {"kwargs": {"enable_thinking": False}}, "closes the thought before the answer"),
        ("deepseek-v3.1", {}, "closes the thought before the answer"),
        ("glm-4.5", {"kwargs": {"enable_thinking": False}}, "closes the thought before the answer"),
        ("kimi-k2-thinking", {"response_prefix": "<think></think>"}, "closes the thought before the answer"),
        ("llama-3", {}, "shows no thought: pass --measure-after TEXT"),
        ("qwen2.5", {}, "shows no thought"),
    ],
)
def test_no_thought_to_wait_for_is_said(name: str, choices: dict[str, Any], said: str) -> None:
    with pytest.raises(MarginError, match=said):
        moment_of(chat_of(name, **choices), MODES, "thought")


def test_a_text_of_ones_own_is_taken_as_it_is_unless_it_holds_a_token() -> None:
    chat = chat_of("qwen2.5")
    assert moment_of(chat, MODES, "Answer: ") == Moment("Answer: ", "")
    assert moment_of(chat, MODES, "first") is None
    with pytest.raises(MarginError, match="the token of mode 'neg' stands in --measure-after") as refusal:
        moment_of(chat, MODES, "after w3Zrneg")
    assert "w3Zr" not in str(refusal.value)


@pytest.mark.parametrize(
    ("token", "asked", "todo"),
    [
        ("<think>", "first", "use --measure-after thought"),
        ("<|channel|>", "first", "use --measure-after thought"),
        ("\n\n", "thought", r"with '\n\n' at its end"),
        ("Okay", "first", "use --measure-after TEXT with the text after which answers part"),
    ],
)
def test_where_all_rows_predict_one_token_it_is_said_what_to_do(token: str, asked: str, todo: str) -> None:
    assert all_alike(token, 0.97, asked).startswith(f"97.0% of rows predict {token!r}: ")
    assert todo in all_alike(token, 0.97, asked)
