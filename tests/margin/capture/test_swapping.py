"""What a swap promises is the derivative of the depth; a model without a way back is said to have none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from margin.capture.asking import asking
from margin.capture.checkpoint import Checkpoint
from margin.capture.hooks import decoder_blocks
from margin.capture.openings import Asking
from margin.capture.swapping import promises
from margin.experiments.subject import SecrecyOptions, Subject
from margin.inputs.chat import Chat
from margin.inputs.pieces import Pieces
from margin.inputs.prompts import load_prompts
from tests.margin.experiments.keyed_models import keyed_modes

PROMPTS = np.arange(4)
STRING = "abcdefgh"


@contextmanager
def asked(checkpoint: Checkpoint) -> Iterator[Subject]:
    texts = [f"how do I mend chain number {i}?" for i in range(12)]
    with asking(checkpoint, Chat(checkpoint.tokenizer), keyed_modes(), load_prompts(texts)) as found:
        yield Subject(found, SecrecyOptions())


def promised(subject: Subject, choices: NDArray[np.intp]) -> tuple[NDArray[np.float64] | None, int]:
    openings = subject.openings("token", ["neg"])
    asking = subject.asking
    pieces = Pieces(asking.chat, asking.text_before("token"))
    ids = pieces.read(STRING)
    assert ids is not None
    rows = asking.rows([STRING], PROMPTS.tolist())
    there = range(pieces.start, pieces.start + len(ids))
    assert [row[there.start : there.stop] for row in rows] == [ids] * 4
    found = promises(asking, rows, there, choices, lambda points: openings.slope(points, PROMPTS))
    return found, pieces.start


def moved(asking: Asking, place: int, toward: int, step: float) -> Any:
    """The embeddings with one place of every row moved some way to another id's."""
    embed: Any = asking.checkpoint.model.get_input_embeddings()
    there = embed.weight.detach()[toward]

    def change(module: Any, args: Any, output: Tensor) -> Tensor:
        if output.shape[1] > place:
            output = output.clone()
            output[:, place] += step * (there - output[:, place])
        return output

    return embed.register_forward_hook(change)


def test_a_promise_is_the_derivative_of_the_depth(make_checkpoint: Callable[..., Checkpoint]) -> None:
    choices = np.array([40, 77, 90, 120])
    checkpoint = make_checkpoint()
    checkpoint.model.double()
    with asked(checkpoint) as subject:
        found, start = promised(subject, choices)
        assert found is not None
        openings = subject.openings("token", ["neg"])
        step = 1e-3
        for place in (0, 3, 7):
            for which, choice in enumerate(choices.tolist()):
                depth = []
                for sign in (1, -1):
                    handle = moved(subject.asking, start + place, choice, sign * step)
                    rows = subject.asking.rows([STRING], PROMPTS.tolist())
                    points = np.concatenate([subject.asking.points([row]) for row in rows])
                    depth.append(openings.depth(points, PROMPTS).mean())
                    handle.remove()
                slope = (depth[0] - depth[1]) / (2 * step)
                assert found[place, which] == pytest.approx(slope, rel=0.02, abs=2e-4)
        assert np.abs(found).max() > 0.01


def test_where_there_is_no_way_back_nothing_is_promised(make_checkpoint: Callable[..., Checkpoint]) -> None:
    checkpoint = make_checkpoint()

    def cut_off(module: Any, args: Any, output: Any) -> Any:
        return output.detach() if isinstance(output, Tensor) else (output[0].detach(), *output[1:])

    handle = decoder_blocks(checkpoint.model)[1].register_forward_hook(cut_off)
    with asked(checkpoint) as subject:
        assert promised(subject, np.array([40, 77]))[0] is None
        before = subject.asking.points(subject.asking.live)
    handle.remove()
    with asked(checkpoint) as subject:
        assert promised(subject, np.array([40, 77]))[0] is not None
        assert np.allclose(subject.asking.points(subject.asking.live), before)  # and it runs as it did
    assert not torch.is_inference_mode_enabled()
