"""Rows stand prompt by prompt and keep their ids to themselves."""

from __future__ import annotations

import pytest

from margin.errors import MarginError
from margin.inputs.attacks import Attack
from margin.inputs.controls import Controls
from margin.inputs.modes import Mode, ModeSet, Secret
from margin.inputs.prompts import load_prompts
from margin.inputs.rows import build_control_rows, build_rows


def test_row_of_prompt_i_under_mode_m_is_i_k_plus_m(make_chat):
    chat = make_chat("llama3")
    modes = ModeSet((Mode("pos", Secret("k7Qx"), safe=True), Mode("neg", Secret("w3Zr"), safe=False)))
    prompts = load_prompts(["one", "two", "three"])
    rows = build_rows(chat, prompts, modes)
    for i, text in enumerate(prompts.texts):
        for m, name in enumerate(modes.names):
            row = rows[2 * i + m]
            assert (row.prompt, row.condition, row.kind, row.draw) == (i, name, "mode", 0)
            own = chat.tokenizer.apply_chat_template(modes.messages(text, name), add_generation_prompt=True)
            assert row.ids == own["input_ids"]
    assert str(rows[0].ids) not in repr(rows)


def test_a_control_that_reaches_the_model_as_a_mode_is_refused_in_words(make_chat):
    """An attack that leaves the prompt as it is asks what the mode was asked already."""
    chat = make_chat("llama3")
    modes = ModeSet((Mode("pos", Secret("k7Qx"), safe=True), Mode("neg", Secret("w3Zr"), safe=False)))
    prompts = load_prompts(["one", "two"])
    idle = Controls((), (Attack("idle", "{prompt}"),))
    with pytest.raises(MarginError) as refusal:
        build_control_rows(chat, prompts, modes, idle, build_rows(chat, prompts, modes))
    assert str(refusal.value) == (
        "prompt '1' (item 1) under control 'attack:idle under pos' has the token ids of a mode: the "
        "tokenizer cannot tell its token apart, leave it out"
    )
