"""Chat templates in the manner of the families in use, on a real tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from margin.inputs.chat import Chat

_TURNS = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
_OPEN = "{% if add_generation_prompt %}<|im_start|>assistant\n"

TEMPLATES = {
    "llama3": (
        "{{ bos_token }}{% for m in messages %}"
        "<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
        "{{ m['content'] | trim }}<|eot_id|>{% endfor %}"
        "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
    ),
    "chatml": _TURNS + _OPEN + "{% endif %}",
    # The system text goes into the first user turn, and nothing but [/INST] opens an answer.
    "llama2": (
        "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] %}"
        "{% set turns = messages[1:] %}{% else %}{% set turns = messages %}{% endif %}"
        "{% for m in turns %}{% if m['role'] == 'user' %}{{ bos_token }}[INST] "
        "{% if loop.first and system is defined %}<<SYS>>\n{{ system }}\n<</SYS>>\n\n{% endif %}"
        "{{ m['content'].strip() }} [/INST]{% else %} {{ m['content'] }}{{ eos_token }}{% endif %}"
        "{% endfor %}"
    ),
    "refuses_system": (
        "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
        "{{ raise_exception('System role not supported: ' + messages[0]['content']) }}{% endif %}"
        "{% for m in messages %}<start_of_turn>{{ m['role'] }}\n{{ m['content'] | trim }}<end_of_turn>\n"
        "{% endfor %}"
        "{% if add_generation_prompt %}<start_of_turn>assistant\n{% endif %}"
    ),
    "drops_system": (
        "{% for m in messages if m['role'] != 'system' %}"
        "<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}" + _OPEN + "{% endif %}"
    ),
    "repeats_system": _TURNS + "{{ messages[0]['content'] }}" + _OPEN + "{% endif %}",
    "upper_case": _TURNS.replace("m['content']", "m['content'] | upper") + _OPEN + "{% endif %}",
    "escapes": _TURNS.replace("m['content']", "m['content'] | e") + _OPEN + "{% endif %}",
    "drops_system_of_long_prompts": (
        "{% for m in messages if m['role'] == 'user' or messages[1]['content'] | length < 40 %}"
        "<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}" + _OPEN + "{% endif %}"
    ),
    "shortens": _TURNS.replace("m['content']", "m['content'][:30]") + _OPEN + "{% endif %}",
    "never_opens": _TURNS,
    # A thought is left to the model unless it is switched off; finished answers carry an empty one.
    "switchable_thought": (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
        "{% if m['role'] == 'assistant' %}<think>\n\n</think>\n\n{% endif %}{{ m['content'] }}<|im_end|>\n"
        "{% endfor %}"
        + _OPEN
        + "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}"
        "{% endif %}"
    ),
    "opens_thought": _TURNS + _OPEN + "<think>\n{% endif %}",
    "no_tail": (
        "{% for m in messages %}{{ m['content'] }}{% if not loop.last %}{{ '\n' }}{% endif %}{% endfor %}"
    ),
    "channels": (
        "{% for m in messages %}<|start|>{{ m['role'] }}"
        "{% if m['role'] == 'assistant' %}<|channel|>final{% endif %}<|message|>{{ m['content'] }}<|end|>"
        "{% endfor %}{% if add_generation_prompt %}<|start|>assistant{% endif %}"
    ),
    "two_bos": "{{ bos_token }}{{ bos_token }}" + _TURNS + _OPEN + "{% endif %}",
    "syntax_error": "{% for m in messages %}",
}


def byte_tokenizer(template: str | dict[str, str] | None, bos: str | None = "<s>") -> PreTrainedTokenizerFast:
    """One id a byte, and the marks that templates write."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({byte: i for i, byte in enumerate(alphabet)}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    marks = ["<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token=bos, eos_token="</s>", additional_special_tokens=marks
    )
    tokenizer.chat_template = template
    return tokenizer


@pytest.fixture(scope="session")
def make_chat() -> Callable[..., Chat]:
    """Maker of a Chat over one of the templates, by name."""

    def make(name: str, bos: str | None = "<s>", **choices: Any) -> Chat:
        return Chat(byte_tokenizer(TEMPLATES[name], bos), **choices)

    return make
