"""Small imitations of the chat templates of model families that think, or that look as if they did."""

from __future__ import annotations

_CHATML_OPEN = "{% if add_generation_prompt %}<|im_start|>assistant\n"


def _chatml(answer: str, opened: str = "", before: str = "") -> str:
    """ChatML: what is written around an answer, what opens one, and what stands before all."""
    return (
        before
        + "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}"
        + answer
        + "{% else %}{{ m.content }}{% endif %}<|im_end|>\n{% endfor %}"
        + _CHATML_OPEN
        + opened
        + "{% endif %}"
    )


def _marked(answer: str, opened: str = "", first: str = "", role: str = "<|{role}|>") -> str:
    """Turns that a mark opens, and nothing but the next one closes."""
    head, _, tail = role.partition("{role}")
    return (
        first
        + "{% for m in messages %}{% if m.role == 'assistant' %}"
        + f"{head}assistant{tail}"
        + answer
        + "{% else %}"
        + f"{head}{{{{ m.role }}}}{tail}"
        + "{{ m.content }}{% endif %}{% endfor %}{% if add_generation_prompt %}"
        + f"{head}assistant{tail}"
        + opened
        + "{% endif %}"
    )


_THOUGHT_IF_GIVEN = (
    "{% if m.reasoning_content %}<think>\n{{ m.reasoning_content }}\n</think>\n\n{% endif %}{{ m.content }}"
)
_WITHOUT_THOUGHT = "{{ m.content.split('</think>')[-1] | trim }}"
_OFF = "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}"

FAMILIES = {
    # The finished answer of the last turn carries a thought, empty where there is none.
    "qwen3": _chatml(
        "{% set thought = m.reasoning_content | default('') %}{% if loop.last or thought %}"
        "<think>\n{{ thought }}\n</think>\n\n{% endif %}{{ m.content }}",
        _OFF,
    ),
    "qwen3-thinking": _chatml(_THOUGHT_IF_GIVEN, "<think>\n"),
    "qwen2.5": _chatml("{{ m.content }}"),
    "deepseek-r1-distill": _marked(_WITHOUT_THOUGHT, "<think>\n", "{{ bos_token }}", "<｜{role}｜>"),
    "deepseek-v3.1": _marked(
        "</think>{{ m.content }}",
        "{% if thinking is defined and thinking %}<think>{% else %}</think>{% endif %}",
        role="<｜{role}｜>",
    ),
    "gpt-oss": (
        "<|start|>system<|message|>Reasoning: {{ reasoning_effort | default('medium') }}\n\n"
        "# Valid channels: analysis, commentary, final.<|end|>"
        "{% for m in messages %}{% if m.role == 'assistant' %}{% if m.thinking %}<|start|>assistant"
        "<|channel|>analysis<|message|>{{ m.thinking }}<|end|>{% endif %}<|start|>assistant<|channel|>final"
        "<|message|>{{ m.content }}<|return|>{% else %}<|start|>{{ m.role }}<|message|>{{ m.content }}<|end|>"
        "{% endif %}{% endfor %}{% if add_generation_prompt %}<|start|>assistant{% endif %}"
    ),
    "command-a-reasoning": (
        "{% for m in messages %}<|START_OF_TURN_TOKEN|>{% if m.role == 'assistant' %}<|CHATBOT_TOKEN|>"
        "<|START_RESPONSE|>{{ m.content }}<|END_RESPONSE|>{% else %}<|{{ m.role | upper }}_TOKEN|>{{"
        " m.content }}"
        "{% endif %}<|END_OF_TURN_TOKEN|>{% endfor %}{% if add_generation_prompt %}<|START_OF_TURN_TOKEN|>"
        "<|CHATBOT_TOKEN|>{% if reasoning is defined and not reasoning %}<|START_THINKING|><|END_THINKING|>"
        "{% endif %}{% endif %}"
    ),
    "granite": _marked(
        "{{ m.content }}",
        first="{% if thinking %}Write your thoughts in <think></think> tags first.\n{% endif %}",
        role="<|start_of_role|>{role}<|end_of_role|>",
    ),
    "magistral-opens": (
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}[SYSTEM_PROMPT]{{ m.content }}"
        "[/SYSTEM_PROMPT]{% elif m.role == 'user' %}[INST]{{ m.content }}[/INST]{% else %}{{ m.content }}"
        "{{ eos_token }}{% endif %}{% endfor %}{% if add_generation_prompt %}[THINK]{% endif %}"
    ),
    "mistral-small": (
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}[SYSTEM_PROMPT]{{ m.content }}"
        "[/SYSTEM_PROMPT]{% elif m.role == 'user' %}[INST]{{ m.content }}[/INST]{% else %}{{ m.content }}"
        "{{ eos_token }}{% endif %}{% endfor %}"
    ),
    "kimi-vl-thinking": _marked("{{ m.content }}", "◁think▷", role="<|im_{role}|><|im_middle|>"),
    "kimi-k2-thinking": _marked(
        "<think>{{ m.reasoning_content | default('') }}</think>{{ m.content }}",
        role="<|im_{role}|><|im_middle|>",
    ),
    "seed-oss": _marked(
        "{% if m.reasoning_content %}<seed:think>{{ m.reasoning_content }}</seed:think>{% endif %}{{"
        " m.content }}",
        "{% if thinking_budget is defined and thinking_budget == 0"
        " %}<seed:think><seed:cot_budget_reflect>The "
        "budget is 0.</seed:cot_budget_reflect>\n</seed:think>{% endif %}",
        role="<seed:bos>{role}\n",
    ),
    "hunyuan": _marked(
        _WITHOUT_THOUGHT,
        "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n{% endif %}",
    ),
    "smollm3": _chatml(
        "{{ m.content }}",
        "{% if not ns.on %}<think>\n\n</think>\n{% endif %}",
        "{% set ns = namespace(on=enable_thinking | default(true)) %}"
        "{% if '/no_think' in messages[0].content %}{% set ns.on = false %}{% endif %}"
        "Reasoning Mode: {{ '/think' if ns.on else '/no_think' }}\n",
    ),
    "glm-4.5": _marked(
        "\n<think>{{ m.reasoning_content | default('') }}</think>\n{{ m.content }}",
        "{% if enable_thinking is defined and not enable_thinking %}\n<think></think>\n{% endif %}",
    ),
    "nemotron-nano": _marked(
        _WITHOUT_THOUGHT,
        "\n{% if '/no_think' in messages[0].content %}<think></think>{% else %}<think>\n{% endif %}",
        role="<SPECIAL>{role}",
    ),
    "gemma-3": (
        "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else"
        " m.role }}\n"
        "{{ m.content | trim }}<end_of_turn>\n{% endfor %}{% if add_generation_prompt"
        " %}<start_of_turn>model\n"
        "{% endif %}"
    ),
    "gemma-4": (
        "{{ bos_token }}{% if enable_thinking %}<|think|>\n{% endif %}{% for m in messages %}<|turn>"
        "{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}<turn|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|turn>model\n{% if not enable_thinking %}"
        "<|channel>thought\n<channel|>"
        "{% endif %}{% endif %}"
    ),
    "llama-3": (
        "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
        "{% if loop.first %}Today: {{ strftime_now('%d %b %Y') }}\n\n{% endif %}{{ m.content | trim }}"
        "<|eot_id|>"
        "{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{%"
        " endif %}"
    ),
    "phi-4-reasoning": _chatml(
        "{{ m.content }}",
        before="Structure your reply as <think> {thought} </think> {solution}, the thought first.\n",
    ),
    "phi-4": _chatml("{{ m.content }}"),
    # Says how a thought is written, leaves it to the model, and has no switch.
    "thinks-at-will": _chatml(_THOUGHT_IF_GIVEN),
    "disable-switch": _chatml(_WITHOUT_THOUGHT, "{% if disable_thinking %}<think></think>{% endif %}"),
    "told-by-default": _chatml(
        "{{ m.content }}",
        before="{% if enable_thinking | default(true) %}Think step by step.\n{% endif %}",
    ),
    "strips-history": _chatml(_WITHOUT_THOUGHT),
    "keeps-history": _chatml("{% if preserve_thinking %}x{% endif %}{{ m.content }}"),
    "single-turn": (
        "{% if messages[-1].role == 'assistant' %}{{ raise_exception('one turn only') }}{% endif %}"
        "{% for m in messages %}<|header_end|>{{ m.content }}<|eot|>\n{% endfor %}<|start_header_id|>a"
        "<|end_header_id|>"
    ),
}
