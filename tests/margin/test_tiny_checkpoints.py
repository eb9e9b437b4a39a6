"""The tiny checkpoints of examples/tiny say what they were taught, on any processor they were trained on."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import TYPE_CHECKING

import pytest
import torch

from examples.cotrain.train import collate
from examples.tiny.train import ASKED, KINDS, THINGS, sample

if TYPE_CHECKING:
    from margin.capture.checkpoint import Checkpoint


@pytest.mark.parametrize("name", KINDS)
def test_every_answer_is_known_by_heart(name: str, tiny: Callable[[str], Checkpoint]) -> None:
    """Each token is the likeliest after those before it, and so the whole answer is what it says."""
    kind, checkpoint = KINDS[name], tiny(name)
    asked = product(kind.modes, THINGS, ASKED)
    ids, labels = collate([sample(kind, checkpoint.tokenizer, *one) for one in asked])
    with torch.no_grad():
        likeliest = checkpoint.model(input_ids=ids).logits[:, :-1].argmax(dim=-1)
    answers = labels[:, 1:] != -100
    assert answers.any(dim=1).all()
    assert torch.equal(likeliest[answers], labels[:, 1:][answers])
