"""What loads without an error and is yet, most likely, not what was meant: it is measured, and said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from margin.capture.prepare import checkpoint_for
from margin.capture.ranks import Ranks
from margin.inputs.options import CaptureOptions
from tests.margin.capture.capture_checkpoints import copied, reweighted

Said = Callable[..., str]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """What is said of a checkpoint when it is loaded."""

    def said(model: Path, adapter: Path | None = None) -> str:
        capsys.readouterr()
        checkpoint_for(model, adapter, CaptureOptions(device="cpu", quiet=True), Ranks())
        lines = capsys.readouterr().err.splitlines()
        return "\n".join(line for line in lines if line.startswith("margin: "))

    return said


@pytest.fixture
def untrained(saved_checkpoint: Path, tmp_path: Path) -> Path:
    """An adapter as it is before its first step."""
    model = AutoModelForCausalLM.from_pretrained(saved_checkpoint, dtype=torch.float32)
    config = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    get_peft_model(model, config).save_pretrained(str(tmp_path / "adapter"))
    return tmp_path / "adapter"


@pytest.mark.parametrize("name", ["model.embed_tokens.weight", "model.layers.1.mlp.up_proj.weight"])
def test_a_matrix_of_zeros_is_named(name: str, saved_checkpoint: Path, tmp_path: Path, said: Said) -> None:
    assert said(saved_checkpoint) == ""
    holed = reweighted(saved_checkpoint, tmp_path / "holed", lambda w: {**w, name: torch.zeros_like(w[name])})
    assert said(holed).endswith(f"0 throughout, as in a file that was not written in full: {name}")


def test_an_adapter_not_trained_is_named(
    untrained: Path, saved_checkpoint: Path, tmp_path: Path, said: Said
) -> None:
    assert "weights of adapter that are 0 throughout, as in an adapter not trained" in said(
        saved_checkpoint, untrained
    )
    trained = reweighted(untrained, tmp_path / "trained", lambda w: {name: w[name] + 0.1 for name in w})
    assert said(saved_checkpoint, trained) == ""


def test_an_adapter_on_another_model_than_it_was_trained_on_is_said(
    untrained: Path, saved_checkpoint: Path, tmp_path: Path, said: Said
) -> None:
    trained = reweighted(untrained, tmp_path / "trained", lambda w: {name: w[name] + 0.1 for name in w})
    config = "adapter_config.json"
    same = copied(trained, tmp_path / "same", config, base_model_name_or_path=f"else/{saved_checkpoint.name}")
    assert said(saved_checkpoint, same) == ""
    assert json.loads((trained / config).read_text())["base_model_name_or_path"] == str(saved_checkpoint)
    other = copied(trained, tmp_path / "other", config, base_model_name_or_path="org/Other-8B")
    assert "was trained on Other-8B, and is on" in said(saved_checkpoint, other)
