"""Runs on disk compared on the prompts they share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from margin.analysis.comparison import Against, Comparison, compare
from margin.analysis.run_spaces import design_of, space_of
from margin.errors import IncomparableError, MarginError
from margin.run.run import open_run


def compare_runs(
    runs: Sequence[Path],
    level: float = 0.95,
    seed: int = 0,
    against: Against = "first",
    drop: float = 0.01,
) -> Comparison:
    """The comparison of runs on disk, named by their folders, in the space of their logits.

    Parameters
    ----------
    level : nominal coverage of the intervals.
    seed : of the simultaneous intervals.
    against : each run's reference, the first run or the one before it.
    drop : a drop that would matter, as in `compare`.

    Raises
    ------
    MarginError : fewer than two runs, one that stands twice, and all that `open_run` refuses.
    IncomparableError : an id under which two runs have another prompt, and all that `compare` refuses.
    """
    if len({path.resolve() for path in runs}) < len(runs):
        raise MarginError("a run stands twice among the runs to compare")
    short = [path.resolve().name for path in runs]
    names = short if len(set(short)) == len(short) else [str(path) for path in runs]
    opened = {}
    texts: dict[str, str] = {}
    for name, path in zip(names, runs, strict=True):
        run = open_run(path)
        for prompt_id, text in zip(run.prompts["id"], run.prompts["prompt"], strict=True):
            if texts.setdefault(prompt_id, text) != text:
                raise IncomparableError(
                    f"prompt {prompt_id} of {name} has another text than in the runs before it: "
                    "compare runs on the same prompts"
                )
        space, rows = space_of(run, "logits")
        opened[name] = (space, design_of(run, rows))
    return compare(opened, np.random.default_rng(seed), level=level, against=against, drop=drop)
