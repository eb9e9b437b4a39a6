"""Writing beside the loop: one thread makes the shards' files while the model runs on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

WAITING = 2
"""Shards that may wait to be written; they are held in memory."""


class Writer:
    """Runs jobs in order, in a thread of its own; raises what they raise, at the latest when it is left."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._waiting: deque[Future[None]] = deque()

    def __enter__(self) -> Writer:
        return self

    def submit(self, job: Callable[[], None]) -> None:
        """Take a job; waits while `WAITING` others are not done, and raises the error of one that failed."""
        while len(self._waiting) >= WAITING or (self._waiting and self._waiting[0].done()):
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(job))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=True)  # whole shards are kept, whatever stopped the loop
        if error is None:
            for job in self._waiting:
                job.result()
