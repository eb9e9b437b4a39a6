"""A model's own error must not spell out a row: ids are a token."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from margin.capture.checkpoint import Checkpoint
from margin.capture.collect import collect
from margin.capture.unquoted import unquoted
from margin.errors import MarginError
from margin.inputs.modes import ModeSet
from tests.margin.conftest import TOKENS


class OddError(Exception):
    def __init__(self, ids: Any) -> None:
        self.ids = ids

    def __str__(self) -> str:
        return f"ids {self.ids}"


@pytest.mark.parametrize("kind", [IndexError, KeyError, RuntimeError, OddError])
def test_ids_in_an_error_of_the_model_reach_no_one(
    kind: type[Exception],
    make_checkpoint: Callable[..., Checkpoint],
    prompts: list[str],
    modes: ModeSet,
    tmp_path: Path,
) -> None:
    checkpoint = make_checkpoint()

    def quotes(module: Any, args: Any, kwargs: Any) -> None:
        ids = (kwargs.get("input_ids") if kwargs else args[0]).flatten().tolist()
        try:
            raise ValueError(f"cannot read {ids}")
        except ValueError as error:
            raise kind(ids) from error

    checkpoint.model.get_decoder().register_forward_pre_hook(quotes, with_kwargs=True)
    with pytest.raises(MarginError, match="does not run on a row of tokens") as caught:
        collect(checkpoint, prompts=prompts[:2], modes=modes, out=tmp_path / "run", decoys=0, quiet=True)
    shown = "".join(traceback.format_exception(caught.value))
    for token in TOKENS.values():
        ids = checkpoint.tokenizer(token, add_special_tokens=False)["input_ids"]
        assert len(ids) > 1
        assert not any(f"{one}, {two}" in shown for one, two in pairwise(ids))


def test_an_error_keeps_its_kind_and_words() -> None:
    with pytest.raises(IndexError, match=r"^index # is out of range, shape \[#, #\]$"), unquoted():
        raise IndexError("index 2048 is out of range, shape [3, 17]")
    with pytest.raises(MarginError, match="41 tokens"), unquoted():
        raise MarginError("41 tokens")
    with pytest.raises(FileNotFoundError, match="run7"), unquoted():
        Path("/nowhere/run7").read_text()
    with pytest.raises(MarginError, match="the model ends the program"), unquoted():
        raise SystemExit("17, 2048")
    with pytest.raises(torch.OutOfMemoryError, match="out of memory"), unquoted():
        raise torch.OutOfMemoryError("out of memory: 12 GiB")
