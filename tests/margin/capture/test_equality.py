"""The numbers of a run do not depend on how it was collected: they are those of each row alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import silhouette_score
from transformers import LlamaConfig

from margin.analysis.sam import silhouette_samples
from margin.analysis.space import Coordinates
from margin.capture.checkpoint import Checkpoint
from margin.capture.collect import collect
from margin.inputs.modes import ModeSet
from margin.study.spaces import space_of
from tests.margin.capture.capture_checkpoints import copied
from tests.margin.margin_oracle import plain_forward, relative
from tests.throughput import throughput


@pytest.mark.parametrize("batch_tokens", [1, 150, 700, 10**6])
def test_states_and_logits_are_those_of_each_row_alone(
    batch_tokens: int,
    make_checkpoint: Callable[..., Checkpoint],
    prompts: list[str],
    modes: ModeSet,
    tmp_path: Path,
) -> None:
    checkpoint = make_checkpoint()
    plain = plain_forward(checkpoint, prompts, modes)
    run = collect(
        checkpoint,
        prompts=prompts,
        modes=modes,
        out=tmp_path,
        batch_tokens=batch_tokens,
        save_logits=True,
        decoys=0,
        quiet=True,
    )
    assert run.manifest.batching.reuse_prefix
    assert relative(run.states(), plain["state"]) < 1e-4
    assert relative(run.logits(), plain["logits"]) < 1e-4
    weight = checkpoint.model.get_output_embeddings().weight.detach().numpy()
    assert relative(run.states() @ weight.T, plain["logits"]) < 1e-4


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_plain_margin_equals_scikit_learn_on_the_plain_logits(
    distance: Any,
    make_checkpoint: Callable[..., Checkpoint],
    prompts: list[str],
    modes: ModeSet,
    tmp_path: Path,
) -> None:
    checkpoint = make_checkpoint()
    run = collect(checkpoint, prompts=prompts, modes=modes, out=tmp_path, decoys=0, quiet=True)
    space, rows = space_of(run, "logits")
    assert isinstance(space, Coordinates)
    of_rows = run.rows["condition"].to_numpy()[rows]
    logits = plain_forward(checkpoint, prompts, modes)["logits"]
    found = silhouette_samples(space.X, of_rows, distance=distance).mean()
    assert found == pytest.approx(silhouette_score(logits, of_rows, metric=distance), abs=1e-5)


@pytest.mark.parametrize(("batch_tokens", "noise_prompts"), [(1, 0), (10**6, 2)])
def test_rotary_frequencies_of_a_longer_row_are_not_kept_for_the_next(
    batch_tokens: int,
    noise_prompts: int,
    make_checkpoint: Callable[..., Checkpoint],
    small: dict[str, Any],
    prompts: list[str],
    modes: ModeSet,
    tmp_path: Path,
) -> None:
    rope = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 8.0}
    config = LlamaConfig(**small | {"max_position_embeddings": 40, "rope_parameters": rope})
    some = prompts[:4]
    checkpoint = make_checkpoint(config)
    fresh = []
    for prompt in some:
        for mode in modes.names:
            written: Any = checkpoint.tokenizer.apply_chat_template(
                modes.messages(prompt, mode), add_generation_prompt=True, return_tensors="pt"
            )
            ids = written["input_ids"]
            with torch.no_grad():
                fresh.append(deepcopy(checkpoint.model)(ids).logits[:, -1].numpy())
    checkpoint.model(torch.zeros(1, 500, dtype=torch.long))
    grown = {name: its.clone() for name, its in checkpoint.model.named_buffers()}
    run = collect(
        checkpoint,
        prompts=some,
        modes=modes,
        out=tmp_path,
        batch_tokens=batch_tokens,
        noise_prompts=noise_prompts,
        save_logits=True,
        decoys=0,
        quiet=True,
    )
    assert relative(run.logits(), np.concatenate(fresh)) < 1e-4
    for name, its in checkpoint.model.named_buffers():
        assert its.equal(grown[name])


class PositionsFromTheEnd(torch.nn.Module):
    """An embedding that adds how far a token is from the end of its row: padding moves all real tokens."""

    def __init__(self, tokens: torch.nn.Module) -> None:
        super().__init__()
        self.tokens = tokens

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        placed: torch.Tensor = self.tokens(ids) + torch.arange(ids.shape[1], 0, -1)[None, :, None] / 10
        return placed


def test_a_model_that_padding_or_a_cache_would_change_gets_neither(
    make_checkpoint: Callable[..., Checkpoint], prompts: list[str], modes: ModeSet, tmp_path: Path
) -> None:
    checkpoint = make_checkpoint()
    checkpoint.model.set_input_embeddings(PositionsFromTheEnd(checkpoint.model.get_input_embeddings()))
    run = collect(checkpoint, prompts=prompts, modes=modes, out=tmp_path, decoys=0, quiet=True)
    assert relative(run.states(), plain_forward(checkpoint, prompts, modes)["state"]) < 1e-4
    batching = run.manifest.batching
    assert not batching.pad
    assert "padding moves the states" in batching.pad_reason
    assert not batching.reuse_prefix
    assert throughput(run.manifest).padding_share == 0


def count_hooks(model: torch.nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


def test_the_model_is_left_as_it_was(
    make_checkpoint: Callable[..., Checkpoint], prompts: list[str], modes: ModeSet, tmp_path: Path
) -> None:
    """A training loop goes on with the model it handed over."""
    checkpoint = make_checkpoint()
    checkpoint.model.train()
    frozen = next(checkpoint.model.parameters())
    frozen.requires_grad_(False)
    plain_forward(checkpoint, prompts[:1], modes, layers=(0,))  # transformers leaves hooks of its own behind
    hooks = count_hooks(checkpoint.model)
    before = {name: weight.clone() for name, weight in checkpoint.model.state_dict().items()}
    collect(checkpoint, prompts=prompts, modes=modes, out=tmp_path, layers="all", decoys=0, quiet=True)
    assert all(module.training for module in checkpoint.model.modules())
    assert count_hooks(checkpoint.model) == hooks
    assert not frozen.requires_grad
    assert all(torch.equal(before[name], weight) for name, weight in checkpoint.model.state_dict().items())
    ids = torch.tensor([[3, 4, 5]])
    assert checkpoint.model(ids).logits.shape[:2] == (1, 3)
    checkpoint.model(ids, labels=ids).loss.backward()


@pytest.mark.parametrize(
    ("asked", "layers"),
    [
        ("none", []),
        ("last", [3]),
        ("all", [0, 1, 2, 3]),
        ("every:2", [0, 2, 3]),
        ("0,-1", [0, 3]),
        ([1, 2], [1, 2]),
    ],
)
def test_layers_are_the_ones_asked_for(
    asked: str | Sequence[int],
    layers: list[int],
    make_checkpoint: Callable[..., Checkpoint],
    modes: ModeSet,
    tmp_path: Path,
) -> None:
    checkpoint = make_checkpoint()
    run = collect(
        checkpoint,
        prompts=["mend it", "sell it"],
        modes=modes,
        out=tmp_path,
        layers=asked,
        decoys=0,
        quiet=True,
    )
    assert run.layers == layers
    norm: Any = checkpoint.model.base_model.norm
    for layer in layers:
        assert run.layer(layer).shape == (6, 32)
        if layer == 3:  # the last layer is kept as it is before the last norm, the state as it is after
            after = norm(torch.from_numpy(run.layer(3))).detach().numpy()
            assert np.allclose(after, run.states(), atol=1e-2)


def test_a_model_that_gives_tuples_is_measured_and_goes_on_to(
    saved_checkpoint: Path,
    make_checkpoint: Callable[..., Checkpoint],
    prompts: list[str],
    modes: ModeSet,
    tmp_path: Path,
) -> None:
    expected = plain_forward(make_checkpoint(), prompts[:4], modes)["logits"]
    giving = make_checkpoint()
    giving.model.config.return_dict = False
    folder = copied(saved_checkpoint, tmp_path / "checkpoint", return_dict=False)
    given: list[Checkpoint | Path] = [giving, folder]
    for place, checkpoint in enumerate(given):
        out = tmp_path / str(place)
        run = collect(
            checkpoint,
            prompts=prompts[:4],
            modes=modes,
            out=out,
            save_logits=True,
            decoys=0,
            quiet=True,
            device="cpu",
        )
        assert relative(run.logits(), expected) < 1e-4
    assert giving.model.config.return_dict is False
