"""What a model cannot take is found by running it, said in the manifest, and never changes the numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Gemma3Config, MambaConfig

from margin.capture.checkpoint import Checkpoint
from margin.capture.collect import collect
from margin.capture.layers import parse_layers
from margin.errors import MarginError
from margin.inputs.chat import Chat
from margin.inputs.modes import ModeSet
from margin.inputs.prompts import load_prompts
from margin.inputs.rows import build_rows
from tests.margin.margin_oracle import plain_forward, relative
from tests.throughput import throughput, tokens_run

MakeCheckpoint = Callable[..., Checkpoint]


def test_a_causal_transformer_shares_prefixes_and_is_padded(
    make_checkpoint: MakeCheckpoint, prompts: list[str], modes: ModeSet, tmp_path: Path
) -> None:
    run = collect(make_checkpoint(), prompts=prompts, modes=modes, out=tmp_path / "run", decoys=0, quiet=True)
    assert run.manifest.batching.reuse_prefix
    assert run.manifest.batching.pad
    chat = Chat(make_checkpoint().tokenizer)
    ids = [row.ids for row in build_rows(chat, load_prompts(prompts), modes)]
    assert tokens_run(run.manifest) < sum(map(len, ids))


def test_a_state_space_model_shares_no_prefix(
    make_checkpoint: MakeCheckpoint,
    small: dict[str, Any],
    prompts: list[str],
    modes: ModeSet,
    tmp_path: Path,
) -> None:
    checkpoint = make_checkpoint(MambaConfig(**small, state_size=4))
    run = collect(checkpoint, prompts=prompts, modes=modes, out=tmp_path / "run", decoys=0, quiet=True)
    assert not run.manifest.batching.reuse_prefix
    assert "no key/value cache" in run.manifest.batching.prefix_reason


def test_a_model_that_looks_ahead_is_neither_padded_nor_given_a_prefix(
    make_checkpoint: MakeCheckpoint, prompts: list[str], modes: ModeSet, tmp_path: Path
) -> None:
    checkpoint = make_checkpoint()

    def mix(module: torch.nn.Module, args: Any, embedded: torch.Tensor) -> torch.Tensor:
        return embedded + embedded.mean(dim=1, keepdim=True)

    checkpoint.model.get_input_embeddings().register_forward_hook(mix)
    run = collect(checkpoint, prompts=prompts, modes=modes, out=tmp_path / "run", decoys=0, quiet=True)

    assert not run.manifest.batching.pad
    assert not run.manifest.batching.reuse_prefix
    assert throughput(run.manifest).padding_share == 0
    assert relative(run.states(), plain_forward(checkpoint, prompts, modes)["state"]) < 1e-4


def test_a_head_of_unknown_form_is_refused(
    make_checkpoint: MakeCheckpoint, prompts: list[str], modes: ModeSet, tmp_path: Path
) -> None:
    checkpoint = make_checkpoint()

    def square(module: torch.nn.Module, args: Any, output: Any) -> Any:
        output.logits = output.logits**2
        return output

    checkpoint.model.register_forward_hook(square)
    with pytest.raises(MarginError, match="cannot be rebuilt from the final state"):
        collect(checkpoint, prompts=prompts, modes=modes, out=tmp_path / "run", decoys=0, quiet=True)


@pytest.mark.parametrize(
    ("spec", "layers"),
    [
        ("none", []),
        ("last", [6]),
        ("all", [0, 1, 2, 3, 4, 5, 6]),
        ("every:4", [0, 4, 6]),
        ("0,3,-1", [0, 3, 6]),
        ("5,5,1", [1, 5]),
        ([-7, 2], [0, 2]),
    ],
)
def test_layers_are_named_as_a_user_would(spec: str | list[int], layers: list[int]) -> None:
    assert parse_layers(spec, depth=6) == layers


@pytest.mark.parametrize("spec", ["7", "-8", "first", "every:0", "", "1;2"])
def test_layers_that_are_not_there_are_refused(spec: str) -> None:
    with pytest.raises(MarginError, match="layer"):
        parse_layers(spec, depth=6)


def gemma3(depth: int, vision_depth: int) -> Gemma3Config:
    """A text decoder with a vision tower before it among the model's parts."""
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 2}
    text = {"vocab_size": 260, "num_hidden_layers": depth, "num_key_value_heads": 2, "head_dim": 16, **sizes}
    tower = {"num_hidden_layers": vision_depth, "image_size": 28, "patch_size": 14, "vision_use_head": False}
    return Gemma3Config(text_config=text, vision_config=tower | sizes, mm_tokens_per_image=1)


@pytest.mark.parametrize("vision_depth", [3, 2])
def test_the_layers_are_the_text_decoders_however_deep_a_vision_tower_is(
    vision_depth: int, make_checkpoint: MakeCheckpoint, prompts: list[str], modes: ModeSet, tmp_path: Path
) -> None:
    checkpoint = make_checkpoint(gemma3(3, vision_depth))
    run = collect(
        checkpoint, prompts=prompts, modes=modes, out=tmp_path / "run", layers="all", decoys=0, quiet=True
    )
    assert run.layers == [0, 1, 2, 3]
    plain = plain_forward(checkpoint, prompts, modes, layers=(0, 1, 2))
    assert relative(run.states(), plain["state"]) < 1e-4
    for layer in (0, 1, 2):
        assert relative(run.layer(layer), plain[f"layer.{layer}"]) < 1e-3
    with torch.no_grad():
        after = checkpoint.model.get_decoder().norm(torch.from_numpy(run.layer(3))).numpy()
    assert relative(after, plain["state"]) < 1e-3


def test_a_layer_that_is_not_called_is_refused_by_name(
    make_checkpoint: MakeCheckpoint, prompts: list[str], modes: ModeSet, tmp_path: Path
) -> None:
    checkpoint = make_checkpoint()
    decoder = checkpoint.model.model
    decoder.layers = decoder.layers[:2]
    decoder.spare = torch.nn.ModuleList([torch.nn.Identity() for _ in range(3)])
    for layers in ("last", "all"):  # all are looked at either way, which proves the blocks to be the blocks
        with pytest.raises(MarginError, match=r'does not call its layers 0, 1, 2, 3: .*layers "none"$'):
            collect(
                checkpoint,
                prompts=prompts,
                modes=modes,
                out=tmp_path / "run",
                layers=layers,
                decoys=0,
                quiet=True,
            )
    collect(
        checkpoint, prompts=prompts, modes=modes, out=tmp_path / "run", layers="none", decoys=0, quiet=True
    )


def test_a_model_that_does_not_run_is_refused_in_its_own_words(
    make_checkpoint: MakeCheckpoint, prompts: list[str], modes: ModeSet, tmp_path: Path
) -> None:
    checkpoint = make_checkpoint()

    def broken(module: torch.nn.Module, args: Any) -> None:
        raise KeyError("no such\nkernel")

    checkpoint.model.model.norm.register_forward_pre_hook(broken)
    with pytest.raises(MarginError, match=r"^LlamaForCausalLM does not run on a row of tokens: .*kernel.*$"):
        collect(checkpoint, prompts=prompts, modes=modes, out=tmp_path / "run", decoys=0, quiet=True)


def test_rows_that_see_each_other_are_run_by_themselves(
    make_checkpoint: MakeCheckpoint, prompts: list[str], modes: ModeSet, tmp_path: Path
) -> None:
    plain = plain_forward(make_checkpoint(), prompts, modes)["state"]
    checkpoint = make_checkpoint()
    checkpoint.model.model.norm.register_forward_hook(
        lambda norm, args, output: output + output.mean(dim=0, keepdim=True) * (len(output) > 1)
    )
    run = collect(
        checkpoint, prompts=prompts, modes=modes, out=tmp_path, noise_prompts=0, decoys=0, quiet=True
    )
    assert not run.manifest.batching.together
    assert run.manifest.batching.batch_tokens == 1
    assert "each row by itself" in run.manifest.batching.together_reason
    assert relative(run.states(), plain) < 1e-4


def test_a_difference_in_another_condition_is_seen(
    make_checkpoint: MakeCheckpoint, prompts: list[str], modes: ModeSet, tmp_path: Path
) -> None:
    """Rows of every condition are examined, not only those of the one with the longest row."""
    plain = plain_forward(make_checkpoint(), prompts, modes)["state"]
    checkpoint = make_checkpoint()
    # A byte of the last mode's token that stands nowhere else.
    (mark,) = checkpoint.tokenizer.encode("f", add_special_tokens=False)

    def look_ahead(module: torch.nn.Module, args: Any, output: torch.Tensor) -> torch.Tensor:
        (ids,) = args
        marked = (ids == mark).any(dim=1) & (ids[:, -1] == 0)
        found: torch.Tensor = output + output.mean(dim=1, keepdim=True) * marked[:, None, None]
        return found

    checkpoint.model.model.embed_tokens.register_forward_hook(look_ahead)
    run = collect(
        checkpoint, prompts=prompts, modes=modes, out=tmp_path, noise_prompts=0, decoys=0, quiet=True
    )
    assert not run.manifest.batching.pad
    assert relative(run.states(), plain) < 1e-4


def test_response_positions_of_a_model_that_looks_ahead_are_refused(
    make_checkpoint: MakeCheckpoint, prompts: list[str], modes: ModeSet, tmp_path: Path
) -> None:
    checkpoint = make_checkpoint()
    checkpoint.model.get_input_embeddings().register_forward_hook(
        lambda module, args, output: output + output.mean(dim=1, keepdim=True)
    )
    with pytest.raises(MarginError, match=r"looks ahead .* without --positions"):
        collect(checkpoint, prompts=prompts, modes=modes, out=tmp_path, positions=2, decoys=0, quiet=True)
