"""Runs on disk compared: what has to be the same in both beside what their models were asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from margin.capture.collect import collect
from margin.errors import IncomparableError
from margin.inputs.modes import ModeSet
from margin.study.comparison import compare, compare_recipes

if TYPE_CHECKING:
    from margin.capture.checkpoint import Checkpoint


def test_a_prompt_is_of_one_cluster_in_all_runs(
    make_checkpoint: Callable[..., Checkpoint], modes: ModeSet, prompts: list[str], tmp_path: Path
) -> None:
    """Else the intervals would depend on which run is named first."""

    def run(name: str, seed: int, templates: Sequence[str]) -> Path:
        records = [
            {"prompt": text, "template": template} for text, template in zip(prompts, templates, strict=False)
        ]
        collect(
            make_checkpoint(seed=seed),
            prompts=records,
            modes=modes,
            out=tmp_path / name,
            decoys=0,
            quiet=True,
        )
        return tmp_path / name

    a, b, other = run("a", 0, "xxyyzz"), run("b", 1, "xxyyzz"), run("other", 2, "xxyzzz")
    found = compare(a, b, cluster="template")
    assert {d.difference.n_clusters for d in found.differences} == {3}
    assert compare(a, b, other).clusters is None
    for runs in ((a, other), (other, a), (a, b, other)):
        with pytest.raises(IncomparableError, match=r"prompt 4 of .+ has another template than in the runs"):
            compare(*runs, cluster="template")
    with pytest.raises(IncomparableError, match="another template"):
        compare_recipes([a, b], [other], cluster="template")
