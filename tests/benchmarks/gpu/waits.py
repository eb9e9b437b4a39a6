"""Where the loop waits for the device, and what the device does with its time."""

from __future__ import annotations

import traceback
import warnings
from collections import Counter
from typing import Any

import torch
from rich.table import Table
from torch.profiler import ProfilerActivity, profile
from transformers import PreTrainedModel

from margin.capture.budget import Budget
from margin.capture.loop import Forward, capture
from margin.capture.plan import BATCH_COST_ON_ACCELERATOR, make_plan
from margin.inputs.options import CaptureOptions
from tests.benchmarks.gpu.loop import hooked
from tests.benchmarks.gpu.models import Shape, random_rows
from tests.benchmarks.gpu.timing import timed

BUDGET = 65_536


def waits_table(model: PreTrainedModel, shape: Shape, n_rows: int) -> Table:
    """Places in the code at which the loop over a shard's batches waits for the device, by kind of plan."""
    table = Table("plan", "times", "where", title=f"{shape.name}: waits inside the loop")
    for reuse in (False, True):
        found: Counter[str] = Counter()

        def note(message: Any, *args: Any, seen: Counter[str] = found, **kwargs: Any) -> None:
            frames = [f for f in traceback.extract_stack()[:-1] if "warnings" not in f.filename]
            own = next((f for f in reversed(frames) if "/margin/" in f.filename), frames[-1])
            seen[f"{_short(frames[-1])}, from {_short(own)}"] += 1

        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = note
            _shard(model, shape, n_rows, reuse, mode="warn")
        for where, times in found.most_common():
            table.add_row("prefixes once" if reuse else "whole rows", str(times), where)
        if not found:
            table.add_row("prefixes once" if reuse else "whole rows", "0", "")
    return table


def profile_table(model: PreTrainedModel, shape: Shape, n_rows: int) -> Table:
    """Kernels that take the device's time in a warm shard, and how much of the time it has none."""
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        seconds = _shard(model, shape, n_rows, reuse=True)
    kernels = [event for event in seen.key_averages() if event.device_type.name == "CUDA"]
    kernels = [event for event in kernels if not event.is_user_annotation]
    busy = sum(event.self_device_time_total for event in kernels) / 1e6
    title = (
        f"{shape.name}: three shards with prefixes once, the last in {seconds:.3f} s; kernels {busy:.3f} s"
    )
    table = Table("kernel", "ms", "times", "share", title=title)
    for event in sorted(kernels, key=lambda event: -event.self_device_time_total)[:14]:
        table.add_row(
            event.key[:70],
            f"{event.self_device_time_total / 1e3:.1f}",
            str(event.count),
            f"{event.self_device_time_total / 1e6 / busy:.1%}",
        )
    return table


def _shard(model: PreTrainedModel, shape: Shape, n_rows: int, reuse: bool, mode: str = "default") -> float:
    """Seconds of a second shard, like the first by which all was made ready."""
    ids, groups = random_rows(2 * n_rows, shape.vocabulary)
    plan = make_plan(
        ids,
        ["a"] * len(ids) if not reuse else groups,
        budget=BUDGET,
        shard_rows=n_rows,
        reuse_prefix=reuse,
        batch_cost=BATCH_COST_ON_ACCELERATOR,
    )
    with hooked(model, range(shape.layers + 1)) as hooks:
        forward = Forward(model, hooks, ids, plan.prefixes)

        def run(index: int) -> None:
            capture(forward, plan.batches[index], Budget(BUDGET), CaptureOptions(), lambda rows: None)

        run(0)
        run(1)
        if model.device.type == "cuda":
            torch.cuda.set_sync_debug_mode(mode)
        try:
            return timed(lambda: run(1), model.device)
        finally:
            if model.device.type == "cuda":
                torch.cuda.set_sync_debug_mode("default")


def _short(frame: traceback.FrameSummary) -> str:
    return f"{'/'.join(frame.filename.split('/')[-2:])}:{frame.lineno} {frame.name}"
