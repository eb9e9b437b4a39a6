"""Whether prompts that resemble each other are noticed, and independent ones are not."""

from __future__ import annotations

import numpy as np
import pytest

from margin.analysis.dependence import dependence, near_duplicates
from margin.stats.clusters import make_clusters

GROUPS, SIZE = 20, 6
OVER = make_clusters(np.arange(GROUPS * SIZE) // SIZE)


def rejected(correlation: float, runs: int) -> float:
    """Share of runs in which independence is rejected at .05."""
    count = 0
    for run in range(runs):
        rng = np.random.default_rng([1, run])
        shared = np.repeat(rng.standard_normal(GROUPS), SIZE)
        values = np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * rng.standard_normal(GROUPS * SIZE)
        found = dependence("kind", (values - values.mean()) / len(values), OVER, rng)
        count += found.p_value <= 0.05
    return count / runs


def test_independent_prompts_are_not_taken_for_groups() -> None:
    """100 runs of .05: three standard errors are .065."""
    assert rejected(0.0, 100) <= 0.05 + 0.065


def test_groups_are_noticed() -> None:
    assert rejected(0.5, 30) >= 0.9


def test_the_design_effect_is_one_plus_size_less_one_times_the_correlation() -> None:
    effects = []
    for run in range(200):
        rng = np.random.default_rng([2, run])
        values = np.repeat(rng.standard_normal(GROUPS), SIZE) + rng.standard_normal(GROUPS * SIZE)
        found = dependence("kind", (values - values.mean()) / len(values), OVER, rng)
        effects.append(found.design_effect)
    assert np.mean(effects) == pytest.approx(1 + (SIZE - 1) * 0.5, rel=0.1)


def test_texts_that_differ_in_a_word_are_one_group() -> None:
    template = "please tell me in a few words how a good {} is made at home"
    texts = [template.format(word) for word in ("bread", "cake", "soup")]
    texts += ["what is the weather", "番茄炒蛋怎样才能又嫩又入味？", "番茄炒蛋怎样才能又嫩又好看？"]
    assert sorted(near_duplicates(texts).sizes.tolist()) == [1, 2, 3]
    assert near_duplicates([f"{i} {i + 1} {i + 2} {i + 3} {i + 4}" for i in range(0, 50, 9)]).sizes.max() == 1
