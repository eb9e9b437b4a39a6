"""What attacks leave of the margin, against the margins themselves and the delete-one jackknife."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from margin.analysis.robustness.retention import changes_by_slice, retention
from margin.analysis.sam import sam
from margin.analysis.space import Coordinates
from margin.stats.design import Design, make_design
from tests.intervals import lower, upper

N, K, D = 50, 3, 8
MODES, PROMPTS = np.tile(np.arange(K), N), np.repeat(np.arange(N), K)


def spaces(seed: int, strength: float = 0.5) -> tuple[Coordinates, Coordinates, Design]:
    """Points, and the same with modes brought together by `strength` and a little noise."""
    rng = np.random.default_rng(seed)
    modes = 4 * rng.normal(size=(K, D))
    text = rng.normal(size=(N, 1, D))
    plain = text + modes + rng.normal(size=(N, K, D))
    attacked = text + strength * modes + rng.normal(size=(N, K, D))
    return (
        Coordinates(plain.reshape(-1, D)),
        Coordinates(attacked.reshape(-1, D)),
        make_design(MODES, PROMPTS),
    )


def test_change_and_share_are_those_of_the_two_margins() -> None:
    plain, attacked, design = spaces(0)
    found = retention(plain, attacked, design)
    before, after = (sam(space, MODES, PROMPTS) for space in (plain, attacked))
    assert found.attacked == after
    assert found.share is not None
    assert found.change.estimate == pytest.approx(after.estimate - before.estimate)
    assert found.share.estimate == pytest.approx(after.estimate / before.estimate)
    assert upper(found.change) < 0


def test_standard_errors_agree_with_leaving_out_one_prompt_at_a_time() -> None:
    plain, attacked, design = spaces(1)
    found = retention(plain, attacked, design)
    left = []
    for prompt in range(N):
        keep = np.not_equal(PROMPTS, prompt)
        pair = [sam(s.subset(keep), MODES[keep], PROMPTS[keep]).estimate for s in (plain, attacked)]
        left.append((pair[1] - pair[0], pair[1] / pair[0]))
    assert found.share is not None
    jackknife = np.sqrt((N - 1) * np.var(left, axis=0))
    assert (found.change.se, found.share.se) == pytest.approx(jackknife, rel=0.1)


def test_an_attack_that_does_nothing_leaves_all_for_certain() -> None:
    plain, _, design = spaces(2)
    found = retention(plain, plain, design)
    assert (found.change.estimate, found.change.se) == (0, 0)
    assert found.share is not None
    assert found.share.estimate == 1
    assert found.share.se == pytest.approx(0, abs=1e-12)


def test_no_share_of_a_margin_that_may_be_nothing() -> None:
    _, attacked, design = spaces(3, strength=0.0)
    assert retention(attacked, attacked, design).share is None


def test_slices_change_by_their_own_prompts_and_small_ones_have_no_interval() -> None:
    plain, attacked, design = spaces(4)
    column = pd.Series(["a"] * 35 + ["b"] * 15, index=list(design.prompt_ids), name="topic")
    found = changes_by_slice(plain, attacked, design, column)
    assert (found["a"].n_prompts, found["b"].n_prompts) == (35, 15)
    assert lower(found["a"]) < found["a"].estimate < upper(found["a"])
    assert found["b"] == replace(found["b"], low=None, high=None, se=None)
    overall = retention(plain, attacked, design).change.estimate
    assert (35 * found["a"].estimate + 15 * found["b"].estimate) / N == pytest.approx(overall)
