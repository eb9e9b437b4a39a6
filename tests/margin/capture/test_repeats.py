"""The noise floor: the same rows in other ways, and what of the margin that leaves open."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Gemma2Config

from margin.analysis.sam import sam
from margin.capture.checkpoint import Checkpoint
from margin.capture.collect import collect
from margin.errors import MarginError
from margin.inputs.modes import ModeSet
from margin.study.noise_floor import noise_floor
from tests.margin.margin_oracle import plain_forward, relative

MakeCheckpoint = Callable[..., Checkpoint]
SEEN = 6


def margin_of(logits: np.ndarray, prompts: int, modes: ModeSet) -> float:
    names = np.tile(modes.names, prompts)
    return sam(logits, names, np.repeat(np.arange(prompts), len(modes.names)), "cosine").estimate


def test_rows_of_a_run_in_float32_differ_by_rounding_only(
    make_checkpoint: MakeCheckpoint, prompts: list[str], modes: ModeSet, tmp_path: Path
) -> None:
    run = collect(
        make_checkpoint(),
        prompts=prompts,
        modes=modes,
        out=tmp_path,
        noise_prompts=SEEN,
        decoys=0,
        quiet=True,
    )
    rows, (same, alone, mixed) = run.repeats()
    seen = run.rows.iloc[rows]
    assert seen["prompt_id"].nunique() == SEEN
    assert len(seen) == SEEN * 3
    assert np.array_equal(same, run.states()[rows])
    plain = plain_forward(make_checkpoint(), prompts, modes)["state"][rows]
    errors = [relative(alone, plain), relative(mixed, plain), relative(alone, same), relative(mixed, same)]
    assert max(errors) < 1e-4
    floor = noise_floor(run)
    assert floor is not None
    assert floor["state_error"] == pytest.approx(max(errors[2:]))
    assert (floor["prompts"], floor["dtype"], floor["space"]) == (SEEN, "float32", "logits")
    assert 0 <= floor["sam"] < 1e-4


def test_the_floor_of_a_run_in_less_is_its_distance_from_float32(
    make_checkpoint: MakeCheckpoint, prompts: list[str], modes: ModeSet, tmp_path: Path
) -> None:
    checkpoint = make_checkpoint()
    checkpoint.model.bfloat16()
    before = {name: weight.clone() for name, weight in checkpoint.model.state_dict().items()}
    run = collect(
        checkpoint,
        prompts=prompts,
        modes=modes,
        out=tmp_path,
        noise_prompts=100,
        save_logits=True,
        decoys=0,
        quiet=True,
    )
    after = checkpoint.model.state_dict()
    assert all(weight.dtype == after[name].dtype for name, weight in before.items())
    assert all(torch.equal(weight, after[name]) for name, weight in before.items())

    checkpoint.model.float()
    exact = plain_forward(checkpoint, prompts, modes)
    _, (_, alone, mixed) = run.repeats()
    assert relative(alone, exact["state"]) < 1e-4
    head = checkpoint.model.get_output_embeddings().weight.detach().numpy()
    floor = noise_floor(run)
    assert floor is not None
    assert floor["dtype"] == "float32"
    assert floor["state_error"] > 1e-3
    margins = [margin_of(states @ head.T, 17, modes) for states in (run.states(), exact["state"], mixed)]
    assert floor["sam"] == pytest.approx(max(margins) - min(margins), abs=1e-6)


def test_where_logits_are_capped_the_floor_is_that_of_the_state(
    make_checkpoint: MakeCheckpoint,
    small: dict[str, Any],
    prompts: list[str],
    modes: ModeSet,
    tmp_path: Path,
) -> None:
    config = Gemma2Config(**small, head_dim=8, query_pre_attn_scalar=8, final_logit_softcapping=5.0)
    run = collect(
        make_checkpoint(config), prompts=prompts[:4], modes=modes, out=tmp_path, decoys=0, quiet=True
    )
    floor = noise_floor(run)
    assert floor is not None
    assert floor["space"] == "state"
    assert floor["sam"] < 1e-4


@pytest.mark.parametrize("how", [{"noise_prompts": 0}, {"limit": 1}])
def test_without_prompts_to_repeat_there_is_no_floor(
    how: dict[str, Any], make_checkpoint: MakeCheckpoint, prompts: list[str], modes: ModeSet, tmp_path: Path
) -> None:
    run = collect(
        make_checkpoint(), prompts=prompts[:3], modes=modes, out=tmp_path, decoys=0, quiet=True, **how
    )
    assert run.manifest.noise_floor is None
    assert noise_floor(run) is None
    assert not (tmp_path / "noise.safetensors").exists()
    with pytest.raises(MarginError, match="noise floor was not measured"):
        run.repeats()


def test_a_floor_can_be_measured_later(
    make_checkpoint: MakeCheckpoint, prompts: list[str], modes: ModeSet, tmp_path: Path
) -> None:
    arguments: dict[str, Any] = {
        "prompts": prompts[:4],
        "modes": modes,
        "out": tmp_path,
        "decoys": 0,
        "quiet": True,
    }
    collect(make_checkpoint(), noise_prompts=0, **arguments)
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "shards").iterdir()}
    run = collect(make_checkpoint(), noise_prompts=3, **arguments)
    run.verify()
    assert run.manifest.noise_floor is not None
    assert run.manifest.noise_floor.prompts == 3
    assert written == {path: path.stat().st_mtime_ns for path in (tmp_path / "shards").iterdir()}


def crowd(norm: torch.nn.Module, args: Any, output: torch.Tensor) -> torch.Tensor:
    """Rows of a large batch see each other; of a small one, as those of the proofs before the loop, none."""
    return output + output.mean(dim=0, keepdim=True) if len(output) > 7 else output


def test_a_run_whose_repeats_disagree_is_collected_again_row_by_row(
    make_checkpoint: MakeCheckpoint,
    prompts: list[str],
    modes: ModeSet,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plain = plain_forward(make_checkpoint(), prompts, modes)["state"]
    checkpoint = make_checkpoint()
    checkpoint.model.model.norm.register_forward_hook(crowd)
    asked: dict[str, Any] = {
        "prompts": prompts,
        "modes": modes,
        "out": tmp_path,
        "generate": 2,
        "batch_tokens": 10**6,
        "decoys": 0,
        "quiet": True,
    }
    run = collect(checkpoint, **asked)
    run.verify()
    assert "all rows are collected again" in capsys.readouterr().err
    assert relative(run.states(), plain) < 1e-4
    batching = run.manifest.batching
    assert not any(getattr(batching, way) for way in ("reuse_prefix", "pad", "together", "narrow"))
    assert "batches move the states by" in batching.together_reason
    assert run.manifest.noise_floor is not None
    assert run.manifest.noise_floor.state_error < 1e-4

    # What it goes on with it collects the same way, also where nothing is repeated that would show why.
    (tmp_path / "shards" / "00000.safetensors").unlink()
    again = collect(checkpoint, **asked | {"noise_prompts": 0})
    assert relative(again.states(), plain) < 1e-4
    assert "again" not in capsys.readouterr().err


def test_a_model_that_answers_otherwise_each_time_is_refused(
    make_checkpoint: MakeCheckpoint, prompts: list[str], modes: ModeSet, tmp_path: Path
) -> None:
    checkpoint = make_checkpoint()
    calls = 0

    def drift(norm: torch.nn.Module, args: Any, output: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return output + max(0, calls - 50) / 100

    checkpoint.model.model.norm.register_forward_hook(drift)
    with pytest.raises(MarginError, match="other states each time"):
        collect(checkpoint, prompts=prompts, modes=modes, out=tmp_path, decoys=0, quiet=True)
