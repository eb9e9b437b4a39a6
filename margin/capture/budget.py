"""How many tokens a batch may hold, halved when memory runs out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import psutil
import torch

from margin.capture.plan import Batch, Ids, recut
from margin.errors import MarginError

T = TypeVar("T")


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


def free_memory(device: torch.device) -> int:
    """Bytes that can still be taken on a device, what the allocator keeps for reuse among them, or on the
    host."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + kept
    return int(psutil.virtual_memory().available)
