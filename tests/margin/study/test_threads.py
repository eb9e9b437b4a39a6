"""Small products are not handed out to threads; large ones are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from margin.run.run import Run
from margin.study.threads import FEW, threads_for
from tests.benchmarks.random_run import make_run


def threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_a_run_of_few_points_has_one_thread_and_no_other(tmp_path: Path) -> None:
    few = make_run(tmp_path / "few", prompts=4, layers=1, width=8, vocabulary=30)
    counts = few.manifest.counts
    many = Run(few.path, few.manifest.replace(counts=counts.replace(rows=FEW // counts.width + 1)))
    with threadpool_limits(limits=2):
        np.ones((2, 2)) @ np.ones((2, 2))
        before = threads()
        with threads_for(few):
            assert threads() == {1}
        assert threads() == before
        with threads_for(many):
            assert threads() == before
