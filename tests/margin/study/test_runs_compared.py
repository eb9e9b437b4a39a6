"""Runs on disk compared: what has to be the same in both beside what their models were asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from margin.capture.collect import collect
from margin.errors import IncomparableError, MarginError
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


def test_two_runs_of_one_checkpoint_are_no_two_trainings_of_a_recipe(
    make_checkpoint: Callable[..., Checkpoint], modes: ModeSet, prompts: list[str], tmp_path: Path
) -> None:
    """Their margins are the same, so that trainings would seem not to differ at all."""

    def run(name: str, seed: int, layers: str = "last") -> Path:
        model, out = make_checkpoint(seed=seed), tmp_path / name
        collect(model, prompts=prompts, modes=modes, out=out, layers=layers, decoys=0, quiet=True)
        return out

    old, again, older, new = run("old", 0), run("again", 0, "all"), run("older", 1), run("new", 2)
    assert compare_recipes([old, older], [new]).trainings == (2, 1)
    for first, second in (([old, again], [new]), ([new], [older, old, again])):
        with pytest.raises(MarginError, match=r"again is of the same checkpoint as .*old: each run"):
            compare_recipes(first, second)
