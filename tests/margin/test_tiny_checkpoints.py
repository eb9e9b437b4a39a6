"""The tiny checkpoints of examples/tiny say what they were taught, on any processor they were trained on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import torch

from examples.tiny.train import ASKED, KINDS, THINGS

if TYPE_CHECKING:
    from margin.capture.checkpoint import Checkpoint


@pytest.mark.parametrize("name", KINDS)
def test_every_answer_is_known_by_heart(name: str, tiny: Callable[[str], Checkpoint]) -> None:
    kind = KINDS[name]
    model: Any = tiny(name).model
    tokenizer: Any = tiny(name).tokenizer
    for mode, system in kind.modes.items():
        for thing in THINGS:
            wanted = kind.answer(mode, thing)
            length = len(tokenizer(wanted, add_special_tokens=False)["input_ids"])
            for asked in ASKED:
                talk = [
                    {"role": "system", "content": system},
                    {"role": "user", "content": asked.format(thing)},
                ]
                rendered = tokenizer.apply_chat_template(talk, tokenize=False, add_generation_prompt=True)
                ids = torch.tensor([tokenizer(rendered, add_special_tokens=False)["input_ids"]])
                said = model.generate(ids, max_new_tokens=length, do_sample=False)
                assert tokenizer.decode(said[0, ids.shape[1] :]) == wanted
