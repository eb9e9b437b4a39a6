"""What Python callers hand to `collect` by mistake is said in a line, before a model is loaded or run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers.utils import logging

from margin.capture.checkpoint import Checkpoint
from margin.capture.collect import collect, plan
from margin.errors import MarginError
from margin.inputs.modes import ModeSet

WRONG: dict[str, list[Any]] = {
    "model": [None, 5, b"x"],
    "out": [None, 5],
    "modes": [None, 5, {}],
    "layers": [None, 5, True, [1.5], ["a"]],
    "device": ["meta", ""],
    "batch_tokens": [0, 1.5, "many", None, True],
    "chat_kwargs": [[1], "x", {1: 2}],
    "response_prefix": [None, 5],
    "chat_template": [5],
    "save_logits": ["yes", None],
    "limit": [0, 1.5, "3", True],
    "controls": ["random", None, [5]],
    "attacks": [5, ""],
    "decoys": [-1, True, 1.5, "", "9" * 5000, 1_000_000],
    "ranks": [5, "0"],
    "adapter": [5],
    **{name: [0, None, "2", 1.5, True] for name in ("draws", "top_k", "positions", "shard_rows")},
    **{name: [-1, None, "2", 1.5, True] for name in ("seed", "generate", "noise_prompts")},
}


@pytest.mark.parametrize(("name", "value"), [(name, its) for name in WRONG for its in WRONG[name]])
def test_an_argument_of_the_wrong_kind_is_one_line(
    name: str, value: Any, saved_checkpoint: Path, prompts: list[str], modes: ModeSet, tmp_path: Path
) -> None:
    given: dict[str, Any] = {
        "model": saved_checkpoint,
        "prompts": prompts[:3],
        "modes": modes,
        "out": tmp_path / "run",
        "decoys": 0,
        "quiet": True,
    }
    with pytest.raises(MarginError) as refused:
        collect(**given | {name: value})
    assert "\n" not in str(refused.value)


def test_numbers_of_numpy_are_numbers(
    make_checkpoint: Callable[..., Checkpoint], prompts: list[str], modes: ModeSet, tmp_path: Path
) -> None:
    run = collect(
        make_checkpoint(),
        prompts=prompts[:3],
        modes=modes,
        out=tmp_path / "run",
        layers=np.array([0, -1]),  # type: ignore[arg-type]
        seed=np.int64(3),  # type: ignore[arg-type]
        top_k=np.int32(5),  # type: ignore[arg-type]
        decoys=0,
        quiet=True,
    )
    assert run.layers == [0, 3]


@pytest.mark.parametrize("function", [collect, plan])
def test_quiet_is_without_the_bars_of_transformers_too(
    function: Callable[..., object],
    saved_checkpoint: Path,
    prompts: list[str],
    modes: ModeSet,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    before = logging.is_progress_bar_enabled()
    logging.enable_progress_bar()
    try:
        asked: dict[str, Any] = {"prompts": prompts[:3], "modes": modes, "decoys": 0}
        function(saved_checkpoint, out=tmp_path / "loud", **asked)
        assert "Loading weights" in capfd.readouterr().err
        function(saved_checkpoint, out=tmp_path / "quiet", **asked, quiet=True)
        assert capfd.readouterr().err == ""
        assert logging.is_progress_bar_enabled()  # of other models they are shown as before
    finally:
        if not before:
            logging.disable_progress_bar()


def test_a_negative_number_of_decoys_is_no_file(
    saved_checkpoint: Path, prompts: list[str], modes: ModeSet, tmp_path: Path
) -> None:
    """The command line hands over a text."""
    with pytest.raises(MarginError, match="decoys -1: take a whole number from 0 on, or a file"):
        collect(saved_checkpoint, prompts=prompts, modes=modes, out=tmp_path / "run", decoys="-1")
