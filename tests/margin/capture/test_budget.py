"""A batch that does not fit into memory is cut smaller, and no row is lost or changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from margin.capture.budget import Budget, within_memory
from margin.capture.checkpoint import Checkpoint
from margin.capture.collect import collect
from margin.capture.plan import Batch, recut
from margin.errors import MarginError
from margin.inputs.modes import ModeSet
from tests.margin.margin_oracle import plain_forward, relative

MakeCheckpoint = Callable[..., Checkpoint]


def full_accelerator() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def full_library() -> None:
    raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")


def full_pinned() -> None:
    raise RuntimeError("CUDA error: out of memory")


def full_host() -> None:
    torch.empty(2**55, dtype=torch.uint8)  # what the CPU's allocator really says


def with_little_memory(checkpoint: Checkpoint, tokens: int, fail: Callable[[], None]) -> None:
    """The model fails on more than so many tokens at once."""

    def before(module: torch.nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        if kwargs["input_ids"].numel() > tokens:
            fail()

    checkpoint.model.register_forward_pre_hook(before, with_kwargs=True)


@pytest.mark.parametrize("fail", [full_accelerator, full_library, full_pinned, full_host])
def test_a_batch_that_does_not_fit_is_cut_and_no_row_is_lost(
    fail: Callable[[], None],
    make_checkpoint: MakeCheckpoint,
    prompts: list[str],
    modes: ModeSet,
    tmp_path: Path,
) -> None:
    plain = plain_forward(make_checkpoint(), prompts, modes)
    checkpoint = make_checkpoint()
    with_little_memory(checkpoint, 300, fail)
    arguments: dict[str, Any] = {
        "prompts": prompts,
        "modes": modes,
        "shard_rows": 20,
        "decoys": 0,
        "quiet": True,
    }
    run = collect(checkpoint, out=tmp_path / "little", batch_tokens=10**6, **arguments)
    roomy = collect(make_checkpoint(), out=tmp_path / "roomy", batch_tokens=10**6, **arguments)

    run.verify()
    assert relative(run.states(), plain["state"]) < 1e-4
    for shard in sorted((tmp_path / "roomy" / "shards").iterdir()):
        rows = load_file(tmp_path / "little" / "shards" / shard.name)["row"]
        assert np.array_equal(rows, load_file(shard)["row"])
    batching = run.manifest.batching
    assert batching.asked == 10**6
    assert batching.out_of_memory >= 1
    assert batching.batch_tokens is not None
    assert batching.batch_tokens < 10**6
    assert roomy.manifest.batching.out_of_memory == 0
    assert roomy.manifest.batching.batch_tokens == 10**6


def test_a_row_that_never_fits_stops_the_run_in_words() -> None:
    with pytest.raises(MarginError, match="one row of 9 tokens does not fit"):
        list(
            within_memory(
                lambda batch: full_accelerator(), [Batch((0, 1), "a", 0)], [[1] * 9] * 2, Budget(99)
            )
        )


def test_other_errors_are_no_lack_of_memory() -> None:
    def broken(batch: Batch) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        list(within_memory(broken, [Batch((0, 1), "a", 0)], [[1], [2]], Budget(99)))


@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=20),
    fits=st.integers(12, 60),
    asked=st.integers(1, 300),
)
def test_every_row_is_run_once_in_order_whatever_fits(lengths: list[int], fits: int, asked: int) -> None:
    ids = [[0] * length for length in lengths]

    def run(batch: Batch) -> int:
        size = len(batch.rows) * max(lengths[row] for row in batch.rows)
        if size > fits:
            raise torch.OutOfMemoryError
        return size

    budget = Budget(asked)
    done = list(within_memory(run, [Batch(tuple(range(len(ids))), "a", 0)], ids, budget))
    assert [row for batch, _ in done for row in batch.rows] == list(range(len(ids)))
    assert budget.tokens <= asked
    assert all(len(batch.rows) == 1 or size <= asked for batch, size in done)


def test_batches_within_the_budget_stay_as_they_are() -> None:
    ids = [[0] * 10] * 7
    batches = [Batch((0, 1), "a", 3), Batch((2, 3, 4, 5, 6), "b", 0)]
    cut = [Batch((0, 1), "a", 3), Batch((2, 3), "b", 0), Batch((4, 5), "b", 0), Batch((6,), "b", 0)]
    assert recut(batches, ids, 50) == batches
    assert recut(batches, ids, 29) == cut


def test_a_budget_is_found_by_trying(
    make_checkpoint: MakeCheckpoint, prompts: list[str], modes: ModeSet, tmp_path: Path
) -> None:
    checkpoint = make_checkpoint()
    run = collect(
        checkpoint,
        prompts=prompts,
        modes=modes,
        out=tmp_path,
        batch_tokens="auto",
        shard_rows=9,
        decoys=0,
        quiet=True,
    )
    assert run.manifest.batching.asked == "auto"
    assert run.manifest.batching.batch_tokens is not None
    assert run.manifest.batching.batch_tokens >= 256
    assert relative(run.states(), plain_forward(checkpoint, prompts, modes)["state"]) < 1e-4
