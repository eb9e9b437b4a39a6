"""Rotary frequencies that go by a row's length are those of the row alone, or positions are refused."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from transformers import LlamaConfig

from margin.capture.checkpoint import Checkpoint
from margin.capture.collect import collect
from margin.errors import MarginError
from margin.inputs.chat import Chat
from margin.inputs.modes import ModeSet
from margin.inputs.prompts import load_prompts
from margin.inputs.rows import build_rows
from tests.margin.margin_oracle import relative

MakeCheckpoint = Callable[..., Checkpoint]
LENGTH = 12


def rope(kind: str, original: int) -> dict[str, Any]:
    settings: dict[str, Any] = {"rope_type": kind, "rope_theta": 10000.0, "factor": 8.0}
    if kind == "dynamic":
        return {"max_position_embeddings": original, "rope_parameters": settings}
    factors = {"short_factor": [1.0] * 4, "long_factor": [3.0, 5.0, 7.0, 9.0]}
    return {"rope_parameters": settings | factors | {"original_max_position_embeddings": original}}


def rows_of(checkpoint: Checkpoint, prompts: list[str], modes: ModeSet) -> list[list[int]]:
    return [row.ids for row in build_rows(Chat(checkpoint.tokenizer), load_prompts(prompts), modes)]


@pytest.mark.parametrize("kind", ["dynamic", "longrope"])
def test_answers_that_grow_into_other_frequencies(
    kind: str,
    make_checkpoint: MakeCheckpoint,
    small: dict[str, Any],
    prompts: list[str],
    modes: ModeSet,
    tmp_path: Path,
) -> None:
    lengths = sorted(map(len, rows_of(make_checkpoint(), prompts[:6], modes)))
    checkpoint = make_checkpoint(LlamaConfig(**small | rope(kind, lengths[-1] + LENGTH // 2)))
    common: dict[str, Any] = {
        "prompts": prompts[:6],
        "modes": modes,
        "batch_tokens": 10**6,
        "decoys": 0,
        "quiet": True,
    }
    with pytest.raises(MarginError, match=r"rotary frequencies change.*at most 7 --positions"):
        collect(checkpoint, out=tmp_path / "refused", positions=LENGTH, **common)
    assert collect(checkpoint, out=tmp_path / "fits", positions=7, **common).positions == 7
    run = collect(checkpoint, out=tmp_path / "said", generate=LENGTH, **common)
    for ids, answer in zip(
        rows_of(checkpoint, prompts[:6], modes), run.answers["answer"].tolist(), strict=True
    ):
        alone = cast("Any", deepcopy(checkpoint.model)).generate(
            torch.tensor([ids]), max_new_tokens=LENGTH, do_sample=False, eos_token_id=257, pad_token_id=257
        )
        assert answer == checkpoint.tokenizer.decode(alone[0, len(ids) :], skip_special_tokens=True)


@pytest.mark.parametrize("kind", ["dynamic", "longrope"])
@pytest.mark.parametrize("place", [0, 3, 11, -1])
def test_rows_on_both_sides_of_the_original_length(
    kind: str,
    place: int,
    make_checkpoint: MakeCheckpoint,
    small: dict[str, Any],
    prompts: list[str],
    modes: ModeSet,
    tmp_path: Path,
) -> None:
    lengths = sorted({len(ids) for ids in rows_of(make_checkpoint(), prompts[:6], modes)})
    checkpoint = make_checkpoint(LlamaConfig(**small | rope(kind, lengths[place % len(lengths)])))
    expected = []
    for ids in rows_of(checkpoint, prompts[:6], modes):
        with torch.no_grad():
            expected.append(deepcopy(checkpoint.model)(torch.tensor([ids])).logits[0, -1].numpy())
    run = collect(
        checkpoint,
        prompts=prompts[:6],
        modes=modes,
        out=tmp_path,
        batch_tokens=10**6,
        save_logits=True,
        decoys=0,
        quiet=True,
    )
    assert relative(run.logits(), np.stack(expected)) < 1e-4
