"""How many threads the linear algebra of a study may take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

from margin.run.run import Run

FEW = 2**20
"""Coordinates of a run's points up to which its products take less time than to wake a thread for them."""


@contextmanager
def threads_for(run: Run) -> Iterator[None]:
    """One thread for the algebra of a run of few points, inside the `with` block; else as it was.

    Threads that wait for the next small product keep their core busy. Where other programs wanted the cores,
    a report of 300 prompts took three times as long by all of them as by one. Counts for the libraries that
    are loaded already.
    """
    counts = run.manifest.counts
    with threadpool_limits(limits=1 if counts.rows * counts.width <= FEW else None):
        yield
