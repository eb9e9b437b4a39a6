"""On a GPU: the same numbers as on the CPU, and a loop that never waits. Skipped where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import margin
from margin.demo import checkpoint_path, modes_path, prompts_path

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

DEVICE = "cuda"
ASKED: dict[str, Any] = {"prompts": prompts_path(), "modes": modes_path(), "quiet": True}


def collected(device: str, out: Path, **options: Any) -> Any:
    """A run of the demonstration's checkpoint, in float32 unless asked otherwise."""
    given = ASKED | {"limit": 24, "layers": "all", "dtype": "float32", "device": device} | options
    return margin.collect(checkpoint_path("cotrained"), out=out / device, **given)


def relative(found: Any, expected: Any) -> float:
    """Largest Euclidean difference of a row, relative to the row."""
    difference = np.linalg.norm(np.float64(found) - expected, axis=-1)
    return float((difference / np.linalg.norm(np.float64(expected), axis=-1)).max())


def test_a_run_holds_what_it_holds_on_the_cpu(tmp_path: Path) -> None:
    options: dict[str, Any] = {"controls": ["none", "random", "near-miss"], "positions": 3, "generate": 6}
    here, there = collected("cpu", tmp_path, **options), collected(DEVICE, tmp_path, **options)
    assert relative(there.states(), here.states()) < 1e-4
    for layer in here.manifest.layers:
        assert relative(there.layer(layer), here.layer(layer)) < 1e-4
    np.testing.assert_array_equal(there.topk()[0][:, 0], here.topk()[0][:, 0])
    np.testing.assert_allclose(there.logsumexp(), here.logsumexp(), atol=1e-3)
    assert there.answers["answer"].tolist() == here.answers["answer"].tolist()
    assert there.manifest.batching.narrow
    assert there.manifest.batching.reuse_prefix
    ours, theirs = (margin.analyse(run).headline.leave_prompt_out for run in (here, there))
    assert theirs.estimate == pytest.approx(ours.estimate, abs=1e-4)


def test_a_run_in_16_bits_is_as_near_as_rounding_lets_it(tmp_path: Path) -> None:
    here = collected("cpu", tmp_path)
    there = collected(DEVICE, tmp_path, dtype="bfloat16")
    floor = there.manifest.noise_floor
    assert floor is not None
    assert floor.dtype == "float32"
    assert relative(there.states(), here.states()) < 0.1


@pytest.mark.parametrize("reuse", [False, True])
def test_the_loop_never_waits_for_the_device(reuse: bool) -> None:
    from margin.capture.budget import Budget
    from margin.capture.checkpoint import load_checkpoint
    from margin.capture.hooks import hidden_state_hooks
    from margin.capture.last_block import last_block_hook
    from margin.capture.loop import Forward, capture
    from margin.capture.plan import make_plan
    from margin.inputs.options import CaptureOptions

    checkpoint = load_checkpoint(checkpoint_path("cotrained"), device=DEVICE)
    rng = np.random.default_rng(0)
    ids = [[7] * 9 + rng.integers(200, size=5 + row % 20).tolist() for row in range(64)]
    plan = make_plan(ids, ["a"] * len(ids), budget=400, shard_rows=32, reuse_prefix=reuse)
    with (
        torch.inference_mode(),
        hidden_state_hooks(checkpoint.model, range(5)) as hooks,
        last_block_hook(checkpoint.model, hooks),
    ):
        hooks.last_block_at_positions = True
        forward = Forward(checkpoint.model, hooks, ids, plan.prefixes)

        def run(shard: int) -> None:
            capture(forward, plan.batches[shard], Budget(400), CaptureOptions(), lambda rows: None)

        run(0)  # makes the cache of the condition, and pinned memory
        run(1)
        torch.cuda.set_sync_debug_mode("error")
        try:
            run(1)
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_where_memory_runs_out_batches_shrink_and_the_numbers_stay(tmp_path: Path) -> None:
    whole = collected(DEVICE, tmp_path / "whole", batch_tokens=200_000)
    _, total = torch.cuda.mem_get_info()
    taken = torch.cuda.memory_allocated()
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((taken + 40 * 2**20) / total)
    try:
        short = collected(DEVICE, tmp_path / "short", batch_tokens=200_000)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert short.manifest.batching.out_of_memory > 0
    assert relative(short.states(), whole.states()) < 1e-4


def test_a_trace_finds_the_layer_it_finds_on_the_cpu(tmp_path: Path) -> None:
    found = {}
    for device in ("cpu", DEVICE):
        given = ASKED | {"limit": 16, "decoys": 1, "dtype": "float32", "device": device}
        found[device] = margin.trace(checkpoint_path("cotrained"), out=tmp_path / device, **given).record
    here, there = found["cpu"], found[DEVICE]
    assert there.handover.layer == here.handover.layer
    ours, theirs = ([patch.transfer.estimate for patch in its.patch] for its in (here, there))
    assert theirs == pytest.approx(ours, abs=2e-3)


def test_an_answered_prompt_is_answered_the_same(tmp_path: Path) -> None:
    here, there = (collected(device, tmp_path, generate=24, limit=12) for device in ("cpu", DEVICE))
    same = np.mean(here.answers["answer"].to_numpy() == there.answers["answer"].to_numpy())
    assert same >= 0.95  # a tie of two tokens may fall the other way
