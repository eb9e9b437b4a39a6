"""The model that is measured is the one in the file: no weight drawn at random, none left out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import GPT2Config, GPTNeoXConfig
from transformers.utils import logging as transformers_logging

from margin.capture.checkpoint import Checkpoint, load_checkpoint
from margin.errors import MarginError
from tests.margin.capture.capture_checkpoints import Weights, copied, reweighted

Q_PROJ = "model.layers.0.self_attn.q_proj"


def refusal(folder: Path) -> str:
    with pytest.raises(MarginError) as refused:
        load_checkpoint(folder, device="cpu")
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    ("prefix", "wrapper"), [("_orig_mod.", "torch.compile"), ("module.", "DistributedDataParallel")]
)
def test_what_a_wrapper_wrote_into_the_names_is_named_with_the_way_to_strip_it(
    prefix: str, wrapper: str, saved_checkpoint: Path, tmp_path: Path
) -> None:
    folder = reweighted(
        saved_checkpoint, tmp_path / "saved", lambda w: {f"{prefix}{name}": w[name] for name in w}
    )
    message = refusal(folder)
    assert wrapper in message
    stripped = message.partition("save_file(")[2].rpartition(", F)")[0]
    weights = eval(stripped, {"load_file": load_file, "F": folder / "model.safetensors"})  # as a user would
    assert weights.keys() == load_file(saved_checkpoint / "model.safetensors").keys()


@pytest.mark.parametrize("prefix", ["base_model.model.", "policy.", "_orig_mod.module."])
def test_any_prefix_of_all_names_is_named_with_the_way_to_strip_it(
    prefix: str, saved_checkpoint: Path, tmp_path: Path
) -> None:
    folder = reweighted(
        saved_checkpoint, tmp_path / "saved", lambda w: {f"{prefix}{name}": w[name] for name in w}
    )
    stripped = refusal(folder).partition("save_file(")[2].rpartition(", F)")[0]
    weights = eval(stripped, {"load_file": load_file, "F": folder / "model.safetensors"})  # as a user would
    assert weights.keys() == load_file(saved_checkpoint / "model.safetensors").keys()


def test_two_weights_for_one_place_are_refused(saved_checkpoint: Path, tmp_path: Path) -> None:
    """Which of the two was trained, nobody can say."""
    folder = reweighted(
        saved_checkpoint, tmp_path / "saved", lambda w: {**w, **{f"_orig_mod.{k}": 2 * w[k] for k in w}}
    )
    message = refusal(folder)
    assert "two weights for one place" in message
    assert "torch.compile" in message


def test_a_part_that_was_compiled_by_itself_is_found_too(saved_checkpoint: Path, tmp_path: Path) -> None:
    folder = reweighted(
        saved_checkpoint,
        tmp_path / "saved",
        lambda w: {name.replace("layers.1.", "layers.1._orig_mod."): w[name] for name in w},
    )
    assert "_orig_mod." in refusal(folder)


@pytest.mark.parametrize(
    ("change", "settings", "says"),
    [
        (lambda w: {n: w[n] for n in w if ".layers.2." not in n}, {}, r"missing.*layers\.2.*and 6 more"),
        (lambda w: {n: w[n] for n in w if n != "lm_head.weight"}, {}, r"missing are lm_head\.weight$"),
        (lambda w: {n: w[n] for n in w if n != "model.norm.weight"}, {}, r"missing are model\.norm\.weight$"),
        (dict, {"num_hidden_layers": 2}, r"not of that model are model\.layers\.2.*and 6 more"),
        (dict, {"num_hidden_layers": 4}, r"missing are model\.layers\.3"),
        (
            dict,
            {"vocab_size": 261},
            r"other sizes.*embed_tokens.*\(260, 32\) in the file, \(261, 32\) by",
        ),
        (lambda w: {**w, f"{Q_PROJ}.bias": torch.zeros(32)}, {}, rf"not of that model are {Q_PROJ}\.bias"),
        (lambda w: {**w, "model.layers.0.self_attn.q_norm.weight": torch.zeros(8)}, {}, r"q_norm\.weight"),
        (lambda w: {**w, "model.embed_norm.weight": torch.zeros(32)}, {}, r"embed_norm"),
    ],
)
def test_weights_that_are_not_the_configurations_are_refused_by_name(
    change: Callable[[Weights], Weights],
    settings: dict[str, Any],
    says: str,
    saved_checkpoint: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = copied(reweighted(saved_checkpoint, tmp_path / "a", change), tmp_path / "b", **settings)
    level = transformers_logging.get_verbosity()
    with caplog.at_level(logging.WARNING), pytest.raises(MarginError, match=says):
        load_checkpoint(folder, device="cpu")
    assert "REPORT" not in caplog.text  # the library's own table would bury the line
    assert transformers_logging.get_verbosity() == level


@pytest.mark.parametrize(
    "names",
    [
        ["model.layers.0.self_attn.rotary_emb.inv_freq", "model.layers.2.self_attn.rotary_emb.inv_freq"],
        ["score.weight", "v_head.summary.weight", "v_head.summary.bias"],
        ["vision_tower.blocks.0.weight", "model.vision_tower.weight", "multi_modal_projector.weight"],
        ["mtp.layers.0.weight"],
    ],
)
def test_what_decides_nothing_may_be_left_over(
    names: list[str], saved_checkpoint: Path, tmp_path: Path
) -> None:
    folder = reweighted(
        saved_checkpoint, tmp_path / "a", lambda w: {**w, **{name: torch.ones(4) for name in names}}
    )
    plain = load_checkpoint(saved_checkpoint, device="cpu")
    assert load_checkpoint(folder, device="cpu").weights_digest() == plain.weights_digest()


def test_tied_weights_are_there(make_checkpoint: Callable[..., Checkpoint], tmp_path: Path) -> None:
    made = make_checkpoint(GPT2Config(vocab_size=260, n_embd=32, n_layer=2, n_head=2, n_positions=64))
    made.model.save_pretrained(tmp_path / "tied")
    made.tokenizer.save_pretrained(tmp_path / "tied")
    assert "lm_head.weight" not in load_file(tmp_path / "tied" / "model.safetensors")
    assert load_checkpoint(tmp_path / "tied", device="cpu").weights_digest() == made.weights_digest()


@pytest.mark.parametrize("kind", ["gpt2", "gpt_neox"])
def test_masks_that_were_saved_in_the_past_are_left_over(
    kind: str, make_checkpoint: Callable[..., Checkpoint], tmp_path: Path
) -> None:
    sizes: dict[str, Any] = {
        "vocab_size": 260,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    made = make_checkpoint(
        GPT2Config(**sizes) if kind == "gpt2" else GPTNeoXConfig(**sizes, intermediate_size=64)
    )
    made.model.save_pretrained(tmp_path / "now")
    made.tokenizer.save_pretrained(tmp_path / "now")
    blocks = "transformer.h.0.attn" if kind == "gpt2" else "gpt_neox.layers.0.attention"
    masks = {f"{blocks}.bias": torch.ones(1, 1, 8, 8), f"{blocks}.masked_bias": torch.tensor(-1e9)}
    folder = reweighted(tmp_path / "now", tmp_path / "past", lambda w: {**w, **masks})
    assert load_checkpoint(folder, device="cpu").weights_digest() == made.weights_digest()
