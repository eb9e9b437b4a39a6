"""Rows stand prompt by prompt and keep their ids to themselves."""

from __future__ import annotations

from margin.inputs.modes import Mode, ModeSet, Secret
from margin.inputs.prompts import load_prompts
from margin.inputs.rows import build_rows


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
