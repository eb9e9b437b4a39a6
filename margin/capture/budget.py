"""How many tokens a batch may hold: asked for, found by trying, and halved when memory runs out."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import psutil
import torch

from margin.capture.placement import devices_of
from margin.capture.plan import Batch, Ids, recut
from margin.errors import MarginError

if TYPE_CHECKING:
    from margin.capture.loop import Forward

T = TypeVar("T")

SMALLEST, LARGEST = 256, 65_536
"""Tokens between which a budget is looked for."""
WORTH = 1.05
"""How many times faster a doubled batch must be to be worth its memory."""
SHARE = 0.5
"""Share of the free memory of an accelerator that batches may take."""


@dataclass
class Budget:
    """Tokens a batch may hold; only ever falls."""

    tokens: int
    """The bound, prefix and padding included."""
    halvings: int = 0
    """How often memory ran out."""
    fixed: bool = False
    """Whether the bound must stay, because other ranks run the same batches."""

    def halve(self, batch: Batch, ids: Sequence[Ids]) -> None:
        """Make room after `batch` did not fit; MarginError where it is one row, or the bound is fixed."""
        longest = max(len(ids[row]) for row in batch.rows)
        if self.fixed:
            raise MarginError(
                f"out of memory: {self.tokens} tokens a batch do not fit beside the model, take fewer"
            )
        if len(batch.rows) == 1:
            raise MarginError(
                f"out of memory: one row of {longest} tokens does not fit beside the model; take a smaller "
                "dtype, a larger device, or leave out the longest prompts"
            )
        self.tokens = min(self.tokens, len(batch.rows) * longest) // 2
        self.halvings += 1


def within_memory(
    run: Callable[[Batch], T], batches: Sequence[Batch], ids: Sequence[Ids], budget: Budget
) -> Iterator[tuple[Batch, T]]:
    """Run batches in order; one that does not fit into memory halves the budget and is cut anew, as is the
    rest. Yields each batch that was run with its result: the same rows in the same order.
    """
    waiting = deque(recut(batches, ids, budget.tokens))
    while waiting:
        try:
            result = run(waiting[0])
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            budget.halve(waiting[0], ids)
            waiting = deque(recut(waiting, ids, budget.tokens))
            continue
        yield waiting.popleft(), result


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether memory ran out: of an accelerator, for its libraries, for pinned copies, or of the host."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return any(said in str(error) for said in ("can't allocate memory", "out of memory", "ALLOC_FAILED"))


def find_budget(forward: Forward, batches: Sequence[Batch]) -> Budget:
    """The budget by trying it on the rows of a shard's first condition: by memory on CUDA, else by time.

    On CUDA it is what fits into `SHARE` of the free memory; elsewhere sizes are doubled as long as each is
    faster than the last by `WORTH`. Costs two forward passes of each size tried.
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
        SHARE * free_memory(device) / max((peak - before) / (len(batch.rows) * length), 1.0)
        for device, before, peak in zip(devices, held, taken, strict=True)
    ]
    return int(min(max(min(fitting), SMALLEST), LARGEST))


def _by_time(forward: Forward, of_size: Callable[[int], Batch], available: int) -> int:
    best, rate = SMALLEST, 0.0
    forward(of_size(SMALLEST))
    for tokens in (SMALLEST << doubling for doubling in range(9)):
        batch = of_size(tokens)
        found = max(len(batch.rows) / _seconds(forward, batch) for _ in range(2))
        if found < WORTH * rate:
            break
        best, rate = tokens, found
        if tokens >= available:
            break
    return best


def _seconds(forward: Forward, batch: Batch) -> float:
    started = time.perf_counter()
    forward(batch)
    return time.perf_counter() - started


def free_memory(device: torch.device) -> int:
    """Bytes that can still be taken on a device, what the allocator keeps for reuse among them, or on the
    host."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + kept
    return int(psutil.virtual_memory().available)
