"""How many tokens a batch should hold, found by trying."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from margin.capture.budget import Budget, free_memory
from margin.capture.loop import Forward
from margin.capture.placement import devices_of
from margin.capture.plan import Batch

SMALLEST, LARGEST = 256, 65_536
"""Tokens between which a budget is looked for."""
MIN_SPEEDUP = 1.05
"""How many times faster a doubled batch must be to be worth its memory."""
MEMORY_SHARE = 0.5
"""Share of the free memory of an accelerator that batches may take."""


def find_budget(forward: Forward, batches: Sequence[Batch]) -> Budget:
    """The budget by trying it on the rows of a shard's first condition: by memory on CUDA, else by time.

    On CUDA it is what fits into `MEMORY_SHARE` of the free memory; elsewhere sizes are doubled while each
    is faster than the last by `MIN_SPEEDUP`. Costs two forward passes of each size tried.
    """
    first = batches[0]
    rows = [row for batch in batches if batch.group == first.group for row in batch.rows]
    rows = rows[len(rows) // 4 :]  # longest first: these are the middle ones, without outliers
    length = len(forward.ids[rows[0]])

    def of_size(tokens: int) -> Batch:
        return Batch(tuple(rows[: max(1, tokens // length)]), first.group, first.prefix)

    devices = [device for device in devices_of(forward.model) if device.type == "cuda"]
    if devices:
        return Budget(_by_memory(forward, of_size(4 * SMALLEST), length, devices))
    return Budget(_by_time(forward, of_size, len(rows) * length))


def _by_memory(forward: Forward, batch: Batch, length: int, devices: Sequence[torch.device]) -> int:
    forward(batch)  # makes the prefix's cache and the libraries' workspaces, which stay
    held = [torch.cuda.memory_allocated(device) for device in devices]
    for device in devices:
        torch.cuda.reset_peak_memory_stats(device)
    forward(batch)
    taken = [torch.cuda.max_memory_allocated(device) for device in devices]
    fitting = [
        MEMORY_SHARE * free_memory(device) / max((peak - before) / (len(batch.rows) * length), 1.0)
        for device, before, peak in zip(devices, held, taken, strict=True)
    ]
    return int(min(max(min(fitting), SMALLEST), LARGEST))


def _by_time(forward: Forward, of_size: Callable[[int], Batch], available: int) -> int:
    best, rate = SMALLEST, 0.0
    forward(of_size(SMALLEST))
    for tokens in (SMALLEST << doubling for doubling in range(9)):
        batch = of_size(tokens)
        found = max(len(batch.rows) / _seconds(forward, batch) for _ in range(2))
        if found < MIN_SPEEDUP * rate:
            break
        best, rate = tokens, found
        if tokens >= available:
            break
    return best


def _seconds(forward: Forward, batch: Batch) -> float:
    started = time.perf_counter()
    forward(batch)
    return time.perf_counter() - started
