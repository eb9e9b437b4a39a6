"""The last block leaves out what nothing reads, where that changes no number, and is itself afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GPT2Config, MistralConfig

from margin.capture.checkpoint import Checkpoint
from margin.capture.collect import collect
from margin.inputs.modes import ModeSet
from tests.margin.margin_oracle import plain_forward, relative

MakeCheckpoint = Callable[..., Checkpoint]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("window", [None, 16])
def test_the_last_block_runs_at_the_last_position_only(
    attention: str,
    window: int | None,
    make_checkpoint: MakeCheckpoint,
    small: dict[str, Any],
    prompts: list[str],
    modes: ModeSet,
    tmp_path: Path,
) -> None:
    checkpoint = make_checkpoint(MistralConfig(**small, sliding_window=window))
    checkpoint.model.set_attn_implementation(attention)
    *_, before, last = checkpoint.model.model.layers
    seen: dict[str, list[int]] = {"before": [], "last": []}
    for name, block in (("before", before), ("last", last)):
        block.mlp.register_forward_hook(
            lambda module, args, output, name=name: seen[name].append(output.shape[0] * output.shape[1])
        )
    many = [f"{prompt} {again}" for again in range(4) for prompt in prompts]
    run = collect(
        checkpoint,
        prompts=many,
        modes=modes,
        out=tmp_path / "run",
        layers="all",
        noise_prompts=0,
        decoys=0,
        quiet=True,
    )

    assert run.manifest.batching.narrow
    assert "forward" not in vars(last)
    # The probes before the loop run the block plainly too, a few rows of them, and the repeats all of theirs.
    assert sum(seen["last"]) < sum(seen["before"]) / 4
    plain = plain_forward(checkpoint, many, modes, layers=(2,))
    assert relative(run.states(), plain["state"]) < 1e-4
    assert relative(run.layer(2), plain["layer.2"]) < 1e-3
    with torch.no_grad():
        norm = checkpoint.model.model.norm(torch.from_numpy(run.layer(3))).numpy()
    assert relative(norm, plain["state"]) < 1e-3


def test_a_last_block_of_another_form_runs_over_all_positions(
    make_checkpoint: MakeCheckpoint,
    small: dict[str, Any],
    prompts: list[str],
    modes: ModeSet,
    tmp_path: Path,
) -> None:
    checkpoint = make_checkpoint(GPT2Config(**small, n_positions=512))
    run = collect(checkpoint, prompts=prompts, modes=modes, out=tmp_path / "run", decoys=0, quiet=True)
    assert not run.manifest.batching.narrow
    assert "no known form" in run.manifest.batching.narrow_reason


def test_a_last_block_that_looks_back_beside_its_attention_runs_over_all_positions(
    make_checkpoint: MakeCheckpoint, prompts: list[str], modes: ModeSet, tmp_path: Path
) -> None:
    checkpoint = make_checkpoint()

    def add_before(module: torch.nn.Module, args: Any) -> Any:
        return (args[0] + args[0].roll(1, dims=1),)

    checkpoint.model.model.layers[-1].mlp.register_forward_pre_hook(add_before)
    run = collect(checkpoint, prompts=prompts, modes=modes, out=tmp_path / "run", decoys=0, quiet=True)

    assert not run.manifest.batching.narrow
    assert "moves the states by" in run.manifest.batching.narrow_reason
    assert relative(run.states(), plain_forward(checkpoint, prompts, modes)["state"]) < 1e-4
