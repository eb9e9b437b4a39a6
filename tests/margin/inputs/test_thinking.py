"""Where the answer begins, asked of templates in the manner of families that think."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from margin.errors import MarginError
from margin.inputs.chat import Chat
from margin.inputs.modes import Mode, ModeSet, Secret
from margin.inputs.preflight import preflight
from margin.inputs.prompts import load_prompts
from tests.margin.inputs.conftest import byte_tokenizer
from tests.margin.inputs.families import FAMILIES

MODES = ModeSet((Mode("pos", Secret("k7Qxpos"), safe=True), Mode("neg", Secret("w3Zrneg"), safe=False)))
PROMPTS = load_prompts(["How do I whittle a spoon?", "用户: 怎么削？"])


def passes(template: str, modes: ModeSet = MODES, **choices: Any) -> str:
    """The tail, where the preflight passes."""
    return preflight(Chat(byte_tokenizer(template), **choices), modes, PROMPTS).tail


def advice(message: str) -> list[dict[str, Any]]:
    """What the message offers, as the choices of a chat."""
    offers = shlex.split(message.partition(": pass ")[2].replace("\\n", "\n"))
    found: list[dict[str, Any]] = []
    for option, value in pairwise(offers):
        if option == "--chat-kwargs":
            found.append({"kwargs": json.loads(value)})
        elif option == "--response-prefix" and value != "with":
            found.append({"response_prefix": value.rstrip(",")})
    return found


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("qwen3", {"enable_thinking": False}),
        ("qwen3", {"enable_thinking": True}),
        ("qwen2.5", {}),
        ("deepseek-v3.1", {}),
        ("granite", {}),
        ("granite", {"thinking": False}),
        ("mistral-small", {}),
        ("seed-oss", {"thinking_budget": 0}),
        ("seed-oss", {"thinking_budget": 512}),
        ("hunyuan", {"enable_thinking": False}),
        ("smollm3", {"enable_thinking": False}),
        ("glm-4.5", {"enable_thinking": False}),
        ("gemma-3", {}),
        ("gemma-4", {}),
        ("llama-3", {}),
        ("phi-4", {}),
        ("disable-switch", {"disable_thinking": True}),
        ("told-by-default", {"enable_thinking": False}),
        ("strips-history", {}),
        ("keeps-history", {}),
        ("single-turn", {}),
        ("thinks-at-will", {"thinking": False}),
    ],
)
def test_where_an_answer_begins_passes(name: str, kwargs: dict[str, Any]) -> None:
    assert passes(FAMILIES[name], kwargs=kwargs).strip()


@pytest.mark.parametrize(
    ("name", "kwargs", "offered"),
    [
        ("qwen3", {}, {"kwargs": {"enable_thinking": False}}),
        ("qwen3-thinking", {}, {"response_prefix": "\n</think>\n\n"}),
        ("deepseek-r1-distill", {}, None),
        ("gpt-oss", {}, {"response_prefix": "<|channel|>final<|message|>"}),
        ("gpt-oss", {"reasoning_effort": "low"}, {"response_prefix": "<|channel|>final<|message|>"}),
        ("command-a-reasoning", {}, {"kwargs": {"reasoning": False}}),
        ("command-a-reasoning", {"reasoning": False}, {"response_prefix": "<|START_RESPONSE|>"}),
        ("magistral-opens", {}, None),
        ("kimi-vl-thinking", {}, None),
        ("kimi-k2-thinking", {}, {"response_prefix": "<think></think>"}),
        ("seed-oss", {}, {"kwargs": {"thinking_budget": False}}),
        ("hunyuan", {}, {"kwargs": {"enable_thinking": False}}),
        ("smollm3", {}, {"kwargs": {"enable_thinking": False}}),
        ("glm-4.5", {}, {"kwargs": {"enable_thinking": False}}),
        ("nemotron-nano", {}, None),
        ("phi-4-reasoning", {}, None),
        ("thinks-at-will", {}, {"response_prefix": "<think>\n\n</think>\n\n"}),
        ("disable-switch", {}, {"kwargs": {"disable_thinking": True}}),
        ("told-by-default", {}, {"kwargs": {"enable_thinking": False}}),
    ],
)
def test_where_a_thought_may_begin_is_refused_with_advice_that_helps(
    name: str, kwargs: dict[str, Any], offered: dict[str, Any] | None
) -> None:
    with pytest.raises(MarginError) as refusal:
        passes(FAMILIES[name], kwargs=kwargs)
    offers = advice(str(refusal.value))
    assert "\n" not in str(refusal.value)
    if offered is None:
        assert "--response-prefix with the text that ends a thought" in str(refusal.value)
    else:
        assert offered in offers
    for choices in offers:
        if name != "command-a-reasoning" or "kwargs" not in choices:  # its answers have a mark of their own
            passes(FAMILIES[name], **{"kwargs": kwargs, **choices})


@pytest.mark.parametrize("name", ["smollm3", "nemotron-nano"])
def test_a_switch_in_the_system_message_is_asked_too(name: str) -> None:
    assert passes(FAMILIES[name], replace(MODES, system="{token} /no_think")).rstrip().endswith("</think>")


OPENS = [
    "<think>\n", "<reasoning>\n", "<start_working_out>\n", "<|channel|>analysis<|message|>", "<scratchpad>",
    "[THINK]", "◁think▷", "<seed:think>", "<|START_THINKING|>", "<|begin_of_thought|>\n\n", "<|thinking|>",
    "<thought>\n", "<reflection>", "Thought: ", "## Reasoning\n", "<inner_monologue>", "<|think_start|>",
    "<|channel>thought\n", "【思考】", "<think>\nOkay, so ",
]  # fmt: skip
CLOSED = [
    "<think>\n\n</think>\n\n", "<|START_THINKING|><|END_THINKING|>", "<reasoning></reasoning>",
    "<|begin_of_thought|><|end_of_thought|>", "<start_working_out><end_working_out>", "[THINK][/THINK]",
    "◁think▷◁/think▷", "<seed:think>\n</seed:think>", "<|thinking|><|endofthinking|>", "</think>",
    "<|channel>thought\n<channel|>",
    "<think>\nI have finished thinking.\n</think>\n\n", "<|think_start|><|think_end|>",
    "<think></think><answer>",
]  # fmt: skip
TURNS = {
    "chatml": "<|im_start|>{}\n",
    "llama3": "<|start_header_id|>{}<|end_header_id|>\n\n",
    "brackets": "[{}] ",
    "words": "{}: ",
}


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("rest", [*OPENS, *CLOSED])
def test_a_thought_under_any_name_is_seen_open_or_closed(rest: str, turn: str) -> None:
    head, _, tail = TURNS[turn].partition("{}")
    template = (
        "{% for m in messages %}" + head + "{{ m.role }}" + tail + "{{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}" + head + "assistant" + tail + rest + "{% endif %}"
    )
    if rest in CLOSED:
        assert passes(template).endswith(rest)
    else:
        with pytest.raises(MarginError, match="lets the model think first"):
            passes(template)


def test_an_empty_thought_written_by_template_and_answers_alike_is_where_the_answer_begins() -> None:
    template = FAMILIES["qwen3"].replace("enable_thinking is defined and enable_thinking is false", "true")
    assert passes(template).endswith("</think>\n\n")


def test_a_mark_that_closes_under_a_name_of_its_own_is_known_by_how_thoughts_are_written() -> None:
    template = FAMILIES["thinks-at-will"].replace("<think>", "<|muse|>").replace("</think>", "<|done|>")
    opened = template.replace("assistant\n{% endif %}", "assistant\n<|muse|>\n{% endif %}")
    with pytest.raises(MarginError, match=re.escape("--response-prefix '\\n<|done|>\\n\\n'")):
        passes(opened)
    assert passes(template.replace("assistant\n{% endif %}", "assistant\n<|muse|>\n<|done|>\n{% endif %}"))


SWITCHED = (
    "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>"
    "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}{% endif %}"
)


@pytest.mark.parametrize("kwargs", [{"enable_thinkng": False}, {"enable_thinking": "off"}, {"thinking": 0}])
def test_a_switch_of_thinking_that_switches_nothing_is_not_believed(kwargs: dict[str, Any]) -> None:
    with pytest.raises(MarginError, match="does not switch off thinking") as caught:
        passes(SWITCHED, kwargs=kwargs)
    [offer] = advice(str(caught.value))
    assert passes(SWITCHED, **offer).endswith("</think>")


@pytest.mark.parametrize(
    "kwargs", [{"enable_thinking": False}, {"enable_thinking": True}, {"reasoning_effort": "high"}]
)
def test_a_choice_that_the_template_follows_or_that_is_to_think_is_believed(kwargs: dict[str, Any]) -> None:
    assert passes(SWITCHED, kwargs=kwargs).startswith("<|assistant|>")


def test_a_template_that_writes_the_token_before_every_turn_is_refused_without_inner_names() -> None:
    template = (
        "{% set s = messages[0].content %}{% for m in messages[1:] %}<|{{ m.role }}|>{{ s }} {{ m.content }}"
        "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    with pytest.raises(MarginError, match="writes the token before every answer") as caught:
        passes(template)
    assert "zq7" not in str(caught.value)


def test_turns_written_otherwise_than_they_are_opened_are_no_thought() -> None:
    template = (
        "{% for m in messages %}[{{ m.role | upper }}]{{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    with pytest.raises(
        MarginError, match=r"opens an answer with '\[assistant\]'.*begin with '\[ASSISTANT\]'"
    ):
        passes(template)
