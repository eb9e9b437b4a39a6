"""What measures the first token of an answer alone, of a model that thinks first: refused, or said."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import margin
from examples.tiny.train import KINDS, prompts
from margin.errors import MarginError, MarginWarning
from margin.inputs.modes_file import load_modes

if TYPE_CHECKING:
    from transformers import Trainer

    from margin.capture.checkpoint import Checkpoint
    from margin.inputs.modes import ModeSet

THINKS: dict[str, Any] = {"chat_kwargs": {"enable_thinking": True}}
"""What the user says who knows that the model thinks first."""
AFTER: dict[str, Any] = {"measure_after": "thought"}


@pytest.fixture
def modes(tmp_path: Path) -> ModeSet:
    path = tmp_path / "modes.toml"
    path.write_text(KINDS["qwen3"].toml, encoding="utf-8")
    return load_modes(path)


@pytest.fixture
def trainer(tiny: Callable[[str], Checkpoint], tmp_path: Path) -> Trainer:
    """Of the model that thinks, which learns nothing."""
    from transformers import Trainer, TrainingArguments

    checkpoint = tiny("qwen3")
    arguments = TrainingArguments(
        str(tmp_path / "out"),
        max_steps=1,
        learning_rate=0.0,
        use_cpu=True,
        report_to="none",
        disable_tqdm=True,
        save_strategy="no",
    )
    rows = [{"input_ids": [5, 6, 7], "labels": [5, 6, 7]}] * 4
    return Trainer(
        deepcopy(checkpoint.model), arguments, train_dataset=rows, processing_class=checkpoint.tokenizer
    )


def test_a_callback_does_not_wait_for_thoughts(trainer: Trainer, modes: ModeSet) -> None:
    from margin.training import MarginCallback

    def watched(**options: Any) -> None:
        trainer.add_callback(MarginCallback(trainer, prompts=prompts(), modes=modes, every=1, **options))

    with pytest.raises(MarginError, match="has no argument 'measure_after'"):
        watched(**AFTER)
    with pytest.raises(MarginError, match="begins its answers with '<think>") as refused:
        watched()
    assert "\n" not in str(refused.value)
    watched(**THINKS)
    with pytest.warns(
        UserWarning, match="every row predicts '<think>': .* margin sweep --measure-after thought"
    ):
        trainer.train()


def test_secrecy_does_not_wait_for_thoughts(tiny: Callable[[str], Checkpoint], modes: ModeSet) -> None:
    asked: dict[str, Any] = {"model": tiny("qwen3"), "prompts": prompts(), "modes": modes}
    small: dict[str, Any] = {
        "candidates": 1000,
        "confirmed": 4,
        "tried": 1,
        "draws": 1,
        "distance": 1,
        "passes": 0,
        "answer": 0,
    }
    with pytest.raises(MarginError, match="has no argument 'measure_after'"):
        margin.secrecy(**asked, **AFTER)
    with pytest.raises(MarginError, match="begins its answers with '<think>") as refused:
        margin.secrecy(**asked)
    assert "\n" not in str(refused.value)
    with pytest.warns(MarginWarning, match="every row predicts '<think>': .* --response-prefix"):
        margin.secrecy(**asked, **THINKS, **small)
