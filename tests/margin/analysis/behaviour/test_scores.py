"""Scores against sums by hand, and their intervals against the binomial's and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from margin.analysis.behaviour.scores import constructive_safety, cosa
from tests.intervals import holds, lower, upper


def test_constructive_safety_is_the_sum_over_twice_the_number() -> None:
    found = constructive_safety(np.array([2.0, 1, 0, 2, 2]), np.arange(5))
    assert found.estimate == pytest.approx(7 / 10)
    assert found.n_prompts == 5


def test_cosa_counts_helpful_and_safe_for_and_helpful_and_unsafe_against() -> None:
    found = cosa(np.array([1.0, 0.5, 1.0, 0.0]), np.array([1.0, 1.0, -1.0, -1.0]), np.arange(4))
    assert found.estimate == pytest.approx((1 + 0.5 - 1 + 0) / 4)
    assert lower(found) < 0 < upper(found)


def test_draws_of_a_prompt_count_as_one_prompt() -> None:
    prompts = np.array([0, 0, 1, 1, 2, 2])
    doubled = constructive_safety(np.array([2.0, 2, 0, 0, 1, 1]), prompts)
    single = constructive_safety(np.array([2.0, 0, 1]), np.arange(3))
    assert (doubled.estimate, doubled.low, doubled.high) == (single.estimate, single.low, single.high)
    assert doubled.n_prompts == 3


@pytest.mark.parametrize("n", [2, 24, 300])
def test_where_all_prompts_score_alike_the_interval_is_that_of_the_binomial(n: int) -> None:
    exact = stats.binomtest(n, n).proportion_ci(0.95, "exact").low
    assert constructive_safety(np.full(n, 2.0), np.arange(n)).low == pytest.approx(exact)
    assert cosa(np.ones(n), np.ones(n), np.arange(n)).low == pytest.approx(2 * exact - 1)
    assert cosa(np.ones(n), -np.ones(n), np.arange(n)).high == pytest.approx(1 - 2 * exact)


def test_rounding_is_no_spread() -> None:
    found = cosa(np.full(3, 0.6147597616521171), -np.ones(3), np.arange(3))
    assert lower(found) < found.estimate < upper(found)


def test_one_prompt_has_no_interval() -> None:
    assert constructive_safety(np.array([1.0, 2.0]), np.array([0, 0])).low is None


@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from([-1.0, 1.0])), min_size=2, max_size=50))
def test_intervals_hold_their_estimate_and_stay_in_range(scores: list[tuple[float, float]]) -> None:
    helpful, safe = np.array(scores).T
    found = cosa(helpful, safe, np.arange(len(scores)))
    assert -1 <= lower(found) <= found.estimate + 1e-9
    assert found.estimate - 1e-9 <= upper(found) <= 1


@pytest.mark.parametrize("shares", [(0.1, 0.2, 0.7), (0.02, 0.03, 0.95), (0.5, 0, 0.5)])
def test_intervals_cover_the_mean(shares: tuple[float, float, float]) -> None:
    rng, covered = np.random.default_rng(0), 0
    truth = (shares[1] + 2 * shares[2]) / 2
    for _ in range(400):
        found = constructive_safety(rng.choice([0.0, 1, 2], 40, p=shares), np.arange(40))
        covered += holds(found, truth)
    assert covered / 400 >= 0.93
