"""Loading checkpoints: what is taken, what is refused, and how one is known from another."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, PromptTuningConfig, get_peft_model
from torch.testing._internal.two_tensor import TwoTensor
from transformers import T5Config, T5ForConditionalGeneration

from margin.capture.blank import blank
from margin.capture.checkpoint import Checkpoint, load_checkpoint
from margin.capture.collect import collect
from margin.capture.head import load_head
from margin.errors import MarginError
from margin.inputs.modes import ModeSet
from tests.margin.margin_oracle import plain_forward, relative

MakeCheckpoint = Callable[..., Checkpoint]


def test_a_saved_checkpoint_is_the_same_checkpoint(
    saved_checkpoint: Path, make_checkpoint: MakeCheckpoint
) -> None:
    loaded, made = load_checkpoint(saved_checkpoint, device="cpu"), make_checkpoint()
    assert loaded.weights_digest() == made.weights_digest()
    assert loaded.tokenizer_digest() == made.tokenizer_digest()


def test_a_tokenizer_that_has_padded_is_the_same_tokenizer(saved_checkpoint: Path) -> None:
    checkpoint = load_checkpoint(saved_checkpoint, device="cpu")
    unused, backend = checkpoint.tokenizer_digest(), getattr(checkpoint.tokenizer, "backend_tokenizer")  # noqa: B009
    backend.enable_padding(length=20, direction="left")
    backend.enable_truncation(20, stride=3)
    as_it_was = backend.to_str()
    assert checkpoint.tokenizer_digest() == unused
    assert backend.to_str() == as_it_was
    assert (backend.padding["length"], backend.truncation["stride"]) == (20, 3)


def test_a_checkpoint_goes_by_a_name_that_does_not_tell_where_it_lies(
    saved_checkpoint: Path, make_checkpoint: MakeCheckpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    get_peft_model(make_checkpoint().model, LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(
        str(str(tmp_path / "safer"))
    )
    checkpoint = load_checkpoint(saved_checkpoint, adapter=tmp_path / "safer", device="cpu")
    assert (checkpoint.name, checkpoint.adapter) == (saved_checkpoint.name, "safer")
    monkeypatch.chdir(saved_checkpoint)
    assert load_checkpoint(".", device="cpu").name == saved_checkpoint.name


@pytest.mark.skipif(find_spec("bitsandbytes") is not None, reason="bitsandbytes is there")
def test_a_quantised_checkpoint_says_what_it_needs(saved_checkpoint: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(saved_checkpoint, tmp_path / "quantised")
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(MarginError, match=r"requires bitsandbytes: .pip install") as refusal:
        load_checkpoint(folder, device="cpu")
    assert "\n" not in str(refusal.value)


def test_the_digest_knows_one_changed_weight(make_checkpoint: MakeCheckpoint) -> None:
    checkpoint = make_checkpoint()
    before = checkpoint.weights_digest()
    with torch.no_grad():
        next(checkpoint.model.parameters()).view(-1)[7] += 1e-4
    assert checkpoint.weights_digest() != before


def test_the_digest_reads_what_a_quantiser_keeps_inside_a_weight(make_checkpoint: MakeCheckpoint) -> None:
    checkpoint = make_checkpoint()
    projection = checkpoint.model.get_decoder().layers[0].mlp.up_proj
    codes = torch.zeros_like(projection.weight)
    projection.weight = torch.nn.Parameter(TwoTensor(codes, codes.clone()))  # type: ignore[no-untyped-call]
    assert blank(checkpoint.model) is None  # the codes may well be 0
    with torch.inference_mode():
        before = checkpoint.weights_digest()
    with torch.no_grad():
        projection.weight.b[3, 1] = 1
    assert checkpoint.weights_digest() != before


def test_weights_that_change_their_names_are_others(make_checkpoint: MakeCheckpoint) -> None:
    checkpoint = make_checkpoint()
    before = checkpoint.weights_digest()
    blocks = checkpoint.model.get_decoder().layers
    blocks[0], blocks[1] = blocks[1], blocks[0]
    assert checkpoint.weights_digest() != before


def test_a_checkpoint_is_left_as_it_was(make_checkpoint: MakeCheckpoint) -> None:
    model = make_checkpoint().model
    model.train()
    block = model.get_decoder().layers[1].eval()  # a part that its trainer keeps frozen
    with dataclasses.replace(make_checkpoint(), model=model).evaluating():
        assert not any(module.training for module in model.modules())
        assert not torch.is_grad_enabled()
    frozen = set(block.modules())
    assert all(module.training == (module not in frozen) for module in model.modules())
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "no config.json"),
        (["config.json"], "no weights"),
        (["config.json", "pytorch_model.bin"], "only pickled weights"),
    ],
)
def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path: Path, files: list[str], message: str) -> None:
    for name in files:
        (tmp_path / name).write_text("{}")
    with pytest.raises(MarginError, match=message) as refusal:
        load_checkpoint(tmp_path, device="cpu")
    assert "\n" not in str(refusal.value)


def test_a_checkpoint_with_a_broken_file_is_refused_in_one_line(
    saved_checkpoint: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(saved_checkpoint, tmp_path / "broken")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(MarginError, match="cannot be loaded") as refusal:
        load_checkpoint(folder, device="cpu")
    assert "\n" not in str(refusal.value)


def test_what_is_not_there_or_unknown_is_refused(saved_checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no model")
    with pytest.raises(MarginError, match="no such file or folder"):
        load_checkpoint(tmp_path / "nothing", device="cpu")
    with pytest.raises(MarginError, match="no checkpoint"):
        load_checkpoint(tmp_path / "notes.txt", device="cpu")
    with pytest.raises(MarginError, match="unknown dtype"):
        load_checkpoint(saved_checkpoint, dtype="float12", device="cpu")
    with pytest.raises(MarginError, match="cannot be used"):
        load_checkpoint(saved_checkpoint, device="no-such-device")


def test_an_encoder_decoder_is_refused(make_checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    config = T5Config(vocab_size=260, d_model=16, d_ff=16, d_kv=8, num_layers=1, num_heads=2)
    T5ForConditionalGeneration(config).save_pretrained(tmp_path)
    make_checkpoint().tokenizer.save_pretrained(tmp_path)
    with pytest.raises(MarginError, match=r"cannot be loaded|encoder-decoder"):
        load_checkpoint(tmp_path, device="cpu")


@pytest.mark.parametrize("targets", [["q_proj", "v_proj"], ["q_proj", "lm_head"]])
def test_an_adapter_is_measured_with_the_model(
    targets: list[str],
    saved_checkpoint: Path,
    make_checkpoint: MakeCheckpoint,
    prompts: list[str],
    modes: ModeSet,
    tmp_path: Path,
) -> None:
    adapted = get_peft_model(make_checkpoint().model, LoraConfig(r=4, target_modules=targets))
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_" in name:
                weight.normal_(std=0.3, generator=torch.Generator().manual_seed(0))
    adapted.save_pretrained(str(tmp_path / "adapter"))
    base = make_checkpoint()
    merged: Any = PeftModel.from_pretrained(base.model, tmp_path / "adapter").eval()
    expected = dataclasses.replace(base, model=merged.get_base_model())

    checkpoint = load_checkpoint(saved_checkpoint, adapter=tmp_path / "adapter", device="cpu")
    run = collect(checkpoint, prompts=prompts[:4], modes=modes, out=tmp_path / "run", decoys=0, quiet=True)

    plain = plain_forward(expected, prompts[:4], modes)
    assert relative(plain["logits"], plain_forward(make_checkpoint(), prompts[:4], modes)["logits"]) > 1e-2
    assert relative(run.states(), plain["state"]) < 1e-4
    assert relative(run.logits(load_head(checkpoint)), plain["logits"]) < 1e-4


def test_an_adapter_that_changes_the_input_is_refused(
    saved_checkpoint: Path, make_checkpoint: MakeCheckpoint, tmp_path: Path
) -> None:
    config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    get_peft_model(make_checkpoint().model, config).save_pretrained(str(tmp_path))
    with pytest.raises(MarginError, match="changes the input"):
        load_checkpoint(saved_checkpoint, adapter=tmp_path, device="cpu")


def test_a_missing_adapter_is_refused(saved_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(MarginError, match="cannot be loaded"):
        load_checkpoint(saved_checkpoint, adapter=tmp_path / "nothing", device="cpu")


def test_logits_come_back_stored_or_rebuilt(
    make_checkpoint: MakeCheckpoint, prompts: list[str], modes: ModeSet, tmp_path: Path
) -> None:
    checkpoint = make_checkpoint()
    stored = collect(
        checkpoint,
        prompts=prompts[:4],
        modes=modes,
        out=tmp_path / "a",
        save_logits=True,
        decoys=0,
        quiet=True,
    )
    lean = collect(checkpoint, prompts=prompts[:4], modes=modes, out=tmp_path / "b", decoys=0, quiet=True)

    plain = plain_forward(checkpoint, prompts[:4], modes)["logits"]
    assert relative(stored.logits(), plain) < 1e-4
    assert relative(lean.logits(load_head(checkpoint)), plain) < 1e-4
    assert np.array_equal(stored.states(), lean.states())
    with pytest.raises(MarginError, match="pass the checkpoint's head"):
        lean.logits()
    with pytest.raises(MarginError, match="not that of"):
        lean.logits(load_head(make_checkpoint(seed=5)))
