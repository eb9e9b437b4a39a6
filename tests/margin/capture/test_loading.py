"""Whatever a checkpoint holds, loading it ends in a checkpoint or in one line, and runs no code of it."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from margin.capture.checkpoint import Checkpoint, load_checkpoint
from margin.capture.classifier import load_classifier
from margin.capture.quiet import without_bars
from margin.cli import main
from margin.demo import modes_path, prompts_path
from margin.errors import MarginError
from tests.margin.capture.capture_checkpoints import copied
from tests.margin.capture.test_adapter import Opens

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"


def refusal(source: Path | str, load: Callable[..., Any] = load_checkpoint) -> str:
    with pytest.raises(MarginError) as refused:
        load(source, device="cpu")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 600
    return str(refused.value)


@pytest.mark.parametrize(
    ("file", "data", "says"),
    [
        ("config.json", b"", "config.json is not JSON"),
        ("config.json", b'{"model_type":', "config.json is not JSON"),
        ("config.json", b"[1]", "config.json is no JSON object"),
        ("config.json", b"null", "config.json is no JSON object"),
        ("config.json", b"\xff\xfe\x00", "is not UTF-8"),
        ("config.json", b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "not JSON that can be read"),
        ("config.json", b'{"vocab_size":' + b"9" * 5000 + b"}", "not JSON that can be read"),
        ("model.safetensors", b"", "cannot be loaded: .*header too small"),
        ("model.safetensors", struct.pack("<Q", 2**63) + b"{}", "cannot be loaded: .*header too large"),
        ("model.safetensors", struct.pack("<Q", 4) + b"{{{{", "cannot be loaded: .*invalid JSON in header"),
        ("model.safetensors", b"PK\x03\x04" + bytes(500), "cannot be loaded"),
        ("model.safetensors", POINTER, r"model\.safetensors is a Git LFS pointer.*git lfs pull"),
        ("tokenizer.json", POINTER, r"tokenizer\.json is a Git LFS pointer.*git lfs pull"),
        ("tokenizer.json", b"", "tokenizer of .* cannot be loaded"),
        ("tokenizer.json", b"[]", "tokenizer of .* cannot be loaded"),
        ("tokenizer.json", b"[" * 100_000, "tokenizer of .* cannot be loaded: it is nested too deeply"),
        ("tokenizer_config.json", b"[]", "tokenizer of .* cannot be loaded"),
        ("tokenizer_config.json", b'{"tokenizer_class": 3}', "tokenizer of .* cannot be loaded"),
        ("chat_template.jinja", b"\xff\xfe", "tokenizer of .* cannot be loaded"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_in_a_line(
    file: str, data: bytes, says: str, saved_checkpoint: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(saved_checkpoint, tmp_path / "broken")
    (folder / file).write_bytes(data)
    assert re.search(says, refusal(folder))


def test_a_tokenizer_of_a_newer_format_is_refused_in_a_line(saved_checkpoint: Path, tmp_path: Path) -> None:
    model = {"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "a", "a"]]}
    folder = copied(saved_checkpoint, tmp_path / "newer", "tokenizer.json", model=model)
    assert "tokenizer of" in refusal(folder)


def test_codes_of_a_quantised_model_are_not_taken_for_its_weights(
    saved_checkpoint: Path, tmp_path: Path
) -> None:
    folder = copied(saved_checkpoint, tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    name = next(name for name, weight in weights.items() if weight.ndim == 2)
    codes = (weights[name] / weights[name].abs().max() * 127).to(torch.int8)
    save_file(weights | {name: codes}, folder / "model.safetensors", metadata={"format": "pt"})
    assert f"{name} holds codes of a quantised model" in refusal(folder)


def test_two_sets_of_weights_in_one_folder_are_refused(saved_checkpoint: Path, tmp_path: Path) -> None:
    folder = copied(saved_checkpoint, tmp_path / "model")
    names = dict.fromkeys(load_file(folder / "model.safetensors"), "model-00001-of-00001.safetensors")
    shutil.copy(folder / "model.safetensors", folder / "model-00001-of-00001.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": names}))
    assert "two sets of weights" in refusal(folder)
    (folder / "model.safetensors").unlink()
    load_checkpoint(folder, device="cpu")


def test_weights_that_end_too_soon_are_refused(saved_checkpoint: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(saved_checkpoint, tmp_path / "cut")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert "not fully covered" in refusal(folder)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"num_hidden_layers": "three"}, "sets num_hidden_layers to a text, 'three': write a whole number"),
        ({"num_hidden_layers": -1}, "not of that model are model.layers.0"),
        ({"hidden_size": -64}, "negative dimension"),
        ({"hidden_size": 10**12}, "cannot be loaded"),
        ({"hidden_size": 10**30}, "cannot be loaded"),
        ({"num_attention_heads": 0}, "cannot be loaded"),
        ({"model_type": "nope"}, "model type `nope`"),
        ({"model_type": 3}, "model type `3`"),
        ({"model_type": "bert"}, "missing are bert"),
        ({"num_hidden_layers": "4"}, "config.json sets num_hidden_layers to a text, '4': write 4"),
        ({"hidden_size": 64.0}, "config.json sets hidden_size to 64.0: write 64"),
        ({"rope_theta": "1e4"}, "config.json sets rope_theta to a text, '1e4': write 1e4"),
        ({"rope_parameters": {"rope_theta": "5"}}, "sets rope_parameters.rope_theta to a text, '5': write 5"),
        ({"rms_norm_eps": "1e-6"}, "config.json sets rms_norm_eps to a text, '1e-6': write 1e-6"),
        ({"hidden_act": "\ud800"}, "cannot be loaded"),
        ({"max_position_embeddings": "x"}, "max_position_embeddings to a text, 'x': write a whole"),
        (
            {"rope_parameters": {"rope_type": "nope"}},
            "cannot be loaded: config.json has rope_parameters.rope_type 'nope', which",
        ),
        ({"hidden_act": "swiglu"}, "cannot be loaded: config.json has hidden_act 'swiglu', which"),
        ({"dtype": "float99"}, "float99"),
        ({"transformers_weights": "pytorch_model.bin"}, "only safetensors is read"),
        ({"transformers_weights": "adapter_model.bin"}, "only safetensors is read"),
        ({"transformers_weights": "../other.safetensors"}, "no file of its own folder"),
    ],
)
def test_a_configuration_that_means_nothing_is_refused_in_a_line(
    settings: dict[str, Any], says: str, saved_checkpoint: Path, tmp_path: Path
) -> None:
    assert says in refusal(copied(saved_checkpoint, tmp_path / "odd", **settings))


def test_no_pickle_is_read_whatever_names_it(saved_checkpoint: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    data = pickle.dumps(Opens(marker))
    sharded = shutil.copytree(saved_checkpoint, tmp_path / "sharded")
    (sharded / "model.safetensors").rename(sharded / "unused.safetensors")
    index = {"metadata": {}, "weight_map": {"model.norm.weight": "pytorch_model.bin"}}
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index))
    named = copied(saved_checkpoint, tmp_path / "named", transformers_weights="pytorch_model.bin")
    disguised = shutil.copytree(saved_checkpoint, tmp_path / "disguised")
    (disguised / "model.safetensors").write_bytes(data)
    only = shutil.copytree(saved_checkpoint, tmp_path / "only")
    (only / "model.safetensors").unlink()
    beside = shutil.copytree(saved_checkpoint, tmp_path / "beside")
    for folder in (sharded, named, disguised, only, beside):
        for name in ("pytorch_model.bin", "training_args.bin", "tokenizer.pkl", "scheduler.pt"):
            (folder / name).write_bytes(data)
        for load in (load_checkpoint, load_classifier):
            if folder is not beside:
                refusal(folder, load)
    load_checkpoint(beside, device="cpu")
    assert not marker.exists()


@pytest.mark.parametrize(
    ("index", "says"),
    [
        ("[]", "weight_map names no files"),
        ('{"weight_map": {"a": 3}}', "weight_map names no files"),
        ('{"metadata": {}, "weight_map": {"model.norm.weight": "gone.safetensors"}}', "gone.safetensors"),
        (
            '{"metadata": {}, "weight_map": {"model.norm.weight": "../../etc/a.safetensors"}}',
            "index.json names ../../etc/a.safetensors, outside its folder: move the file into it",
        ),
        (
            '{"metadata": {}, "weight_map": {"model.norm.weight": "/etc/a.safetensors"}}',
            "index.json names /etc/a.safetensors, outside its folder",
        ),
        (
            '{"metadata": {}, "weight_map": {"model.norm.weight": "../../etc/passwd"}}',
            "index.json names ../../etc/passwd, outside its folder: move the file into it",
        ),
        ('{"metadata": {}, "weight_map": {"model.norm.weight": "a.bin"}}', "only safetensors is read"),
        ("[" * 100_000, "index.json is not JSON that can be read: its brackets are nested too deeply"),
        (
            f'{{"metadata": {{"total_size": {"9" * 6000}}}}}',
            "index.json is not JSON that can be read: it holds a number of thousands of digits",
        ),
    ],
)
def test_an_index_that_leads_nowhere_is_refused(
    index: str, says: str, saved_checkpoint: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(saved_checkpoint, tmp_path / "sharded")
    (folder / "model.safetensors").rename(folder / "a.safetensors")
    (folder / "model.safetensors.index.json").write_text(index)
    assert says in refusal(folder)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("./" + "x" * 300, "File name too long"),
        ("x" * 300, "File name too long"),
        ("a\nb", "no id of the hub"),
        ("a\0b", "no id of the hub"),
        ("./nothing", "no such file or folder"),
        ("", "the name of the checkpoint is empty"),
    ],
)
def test_a_name_that_is_none_is_refused_in_a_line(source: str, says: str) -> None:
    assert says in refusal(source)


def test_a_folder_of_a_name_too_long_is_refused_in_a_line(saved_checkpoint: Path) -> None:
    options = ["--prompts", prompts_path(), "--modes", modes_path(), "--out", "x" * 300]
    done = CliRunner().invoke(main, ["collect", str(saved_checkpoint), *map(str, options)])
    assert done.exit_code == 2
    assert done.stderr.strip().endswith("File name too long")
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("name", ["model.gguf", "MODEL.GGUF"])
def test_a_gguf_file_goes_by_its_suffix_and_is_refused_in_a_line(name: str, tmp_path: Path) -> None:
    for data in (b"", b"GGUF", bytes(4000), b"GGUF" + struct.pack("<IQQ", 3, 2**60, 2**60) + bytes(100)):
        (tmp_path / name).write_bytes(data)
        assert "cannot be loaded" in refusal(tmp_path / name)
    (tmp_path / name).write_bytes(POINTER)
    assert "run git lfs pull" in refusal(tmp_path / name)


def test_a_gguf_file_that_ends_too_soon_is_named_as_one(
    make_checkpoint: Callable[..., Checkpoint], tmp_path: Path
) -> None:
    path = write_gguf(tmp_path / "model.gguf", make_checkpoint())
    whole = path.read_bytes()
    for length in (len(whole) - 100, len(whole) // 2, 3000, 200, 30, 10):
        path.write_bytes(whole[:length])
        assert "is no GGUF file or was cut short (copy it again)" in refusal(path)


@pytest.mark.parametrize("kind", ["llava", "qwen2_vl", "clip", "blip-2"])
def test_a_model_of_images_is_refused_in_a_line(kind: str, saved_checkpoint: Path, tmp_path: Path) -> None:
    said = refusal(copied(saved_checkpoint, tmp_path / "seeing", model_type=kind))
    assert f"its model type '{kind}' is no causal language model that transformers knows: pass" in said
    assert len(said) < len(str(tmp_path)) + 250


def write_gguf(
    path: Path, checkpoint: Checkpoint, keep: Callable[[str], bool] = lambda name: True, **extra: Any
) -> Path:
    """The tiny Llama as GGUF, by the names and the order of rotary halves that llama.cpp has."""
    import gguf

    config: Any = checkpoint.model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    vocabulary = checkpoint.tokenizer.get_vocab()
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(sorted(vocabulary, key=vocabulary.__getitem__))
    writer.add_token_scores([0.0] * len(vocabulary))
    writer.add_bos_token_id(config.bos_token_id)
    writer.add_eos_token_id(config.eos_token_id)
    around = {
        "model.embed_tokens": "token_embd",
        "model.norm": "output_norm",
        "lm_head": "output",
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "post_attention_layernorm": "ffn_norm",
        "input_layernorm": "attn_norm",
        "model.layers": "blk",
    }
    for name, weight in checkpoint.model.state_dict().items():
        values = weight
        for heads, part in ((config.num_attention_heads, "q_proj"), (config.num_key_value_heads, "k_proj")):
            if part in name:
                halves = values.reshape(heads, 2, -1, values.shape[1])
                values = halves.transpose(1, 2).reshape(values.shape)
        for ours, theirs in around.items():
            name = name.replace(ours, theirs)
        if keep(name):
            writer.add_tensor(name, values.contiguous().numpy())
    for name, values in extra.items():
        writer.add_tensor(name.replace("__", "."), values.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_gguf_file_draws_no_bar_where_no_one_sees_it(
    make_checkpoint: Callable[..., Checkpoint], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_gguf(tmp_path / "model.gguf", make_checkpoint())
    load_checkpoint(path, device="cpu")  # no terminal
    assert "quantizing" not in capfd.readouterr().err
    with without_bars():
        load_checkpoint(path, device="cpu")
    assert capfd.readouterr() == ("", "")


def test_a_gguf_file_is_read_in_full_or_refused(
    make_checkpoint: Callable[..., Checkpoint], tmp_path: Path
) -> None:
    made = make_checkpoint()
    whole = write_gguf(tmp_path / "WHOLE.GGUF", made, rope_freqs__weight=torch.ones(4))
    tokens = torch.arange(20)[None]
    with torch.no_grad():
        loaded = load_checkpoint(whole, device="cpu").model
        assert torch.allclose(loaded(input_ids=tokens).logits, made.model(input_ids=tokens).logits, atol=1e-5)
    lost = write_gguf(tmp_path / "lost.gguf", made, lambda name: "blk.1." not in name)
    assert "missing are model.layers.1" in refusal(lost)
    bias = write_gguf(tmp_path / "bias.gguf", made, blk__0__attn_q__bias=torch.ones(32))
    assert "holds 32 values" in refusal(bias)
    layer: dict[str, Any] = {f"blk__3__{name}__weight": torch.ones(32) for name in ("attn_norm", "ffn_norm")}
    assert "holds 4 blocks" in refusal(write_gguf(tmp_path / "more.gguf", made, **layer))


@pytest.mark.parametrize(("kind", "name"), [(torch.bool, "BOOL"), (torch.complex64, "C64")])
def test_weights_that_are_no_real_numbers_are_refused(
    kind: torch.dtype, name: str, saved_checkpoint: Path, tmp_path: Path
) -> None:
    folder = copied(saved_checkpoint, tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    odd = weights | {"model.norm.weight": weights["model.norm.weight"].to(kind)}
    save_file(odd, folder / "model.safetensors", metadata={"format": "pt"})
    assert refusal(folder).endswith(f"model.norm.weight holds {name}, which is no real number")


def test_a_folder_whose_name_is_not_utf8_is_refused_in_a_line(saved_checkpoint: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(saved_checkpoint, tmp_path / os.fsdecode(b"m\xff")))
    assert "a name that is not UTF-8" in refusal(folder)


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (b'{"eos_token_id": [2, 17]', "generation_config.json"),
        (b'\xef\xbb\xbf{"eos_token_id": [2, 17]}', "byte-order mark"),
        (b'{"eos_token_id": "two"}', "eos_token_id"),
        (b'{"eos_token_id": [[2]]}', "eos_token_id"),
        (b'{"eos_token_id": true}', "eos_token_id"),
        (b"[2]", "no JSON object"),
    ],
)
def test_generation_defaults_that_would_be_passed_over_are_refused(
    written: bytes, says: str, saved_checkpoint: Path, tmp_path: Path
) -> None:
    """transformers goes on without them: answers would run past their ends."""
    folder = copied(saved_checkpoint, tmp_path / "model")
    (folder / "generation_config.json").write_bytes(b'{"eos_token_id": [2, 17]}')
    load_checkpoint(folder, device="cpu")
    (folder / "generation_config.json").write_bytes(written)
    assert says in refusal(folder)
