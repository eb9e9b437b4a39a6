"""One place of a model has one weight: a file that holds two is refused unless they are the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from margin.capture.checkpoint import load_checkpoint
from margin.errors import MarginError
from tests.margin.capture.capture_checkpoints import Weights, reweighted

NAME = "layers.1.mlp.up_proj.weight"


@pytest.mark.parametrize("bare", [False, True])
def test_a_weight_with_and_without_the_models_prefix(
    bare: bool, saved_checkpoint: Path, tmp_path: Path
) -> None:
    def doubled(weights: Weights, factor: float) -> Weights:
        named = {name.removeprefix("model.") if bare else name: its for name, its in weights.items()}
        mine, other = (NAME, f"model.{NAME}") if bare else (f"model.{NAME}", NAME)
        return named | {other: named[mine] * factor}

    folder = reweighted(saved_checkpoint, tmp_path / "other", lambda weights: doubled(weights, 2.0))
    with pytest.raises(MarginError, match="two different weights for one place") as refused:
        load_checkpoint(folder, device="cpu")
    assert str(refused.value).count(NAME) == 2
    assert "\n" not in str(refused.value)

    folder = reweighted(saved_checkpoint, tmp_path / "same", lambda weights: doubled(weights, 1.0))
    plain = load_checkpoint(saved_checkpoint, device="cpu").weights_digest()
    assert load_checkpoint(folder, device="cpu").weights_digest() == plain


def test_a_weight_in_two_shards(saved_checkpoint: Path, tmp_path: Path) -> None:
    folder = reweighted(saved_checkpoint, tmp_path / "sharded", dict)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    save_file(weights, folder / first, metadata={"format": "pt"})
    save_file({f"model.{NAME}": weights[f"model.{NAME}"] * 2}, folder / second, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": dict.fromkeys(weights, first) | {f"model.{NAME}": second}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(MarginError, match=f"{NAME} in {first} and in {second}"):
        load_checkpoint(folder, device="cpu")
