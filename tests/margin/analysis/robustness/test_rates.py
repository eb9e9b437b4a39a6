"""Bounds and corrections against SciPy and against mixtures that are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from margin.analysis.robustness.rates import corrected_rates, lower_bound, mean_share, upper_bound

CONFUSION = np.array([[0.9, 0.02, 0.03, 0.05], [0.05, 0.8, 0.1, 0.05], [0.0, 0.1, 0.85, 0.05]])


@given(st.integers(1, 400), st.floats(0, 1), st.sampled_from([0.9, 0.95, 0.99]))
def test_bounds_are_those_of_the_exact_binomial_test(n, rate, level):
    count = round(rate * n)
    for bound, side in ((upper_bound, "less"), (lower_bound, "greater")):
        exact = stats.binomtest(count, n, alternative=side).proportion_ci(level, "exact")
        found = bound(count, n, level)
        assert found.estimate == count / n
        if side == "less":
            assert (found.low, found.high) == (None, pytest.approx(exact.high, abs=1e-9))
        else:
            assert (found.low, found.high) == (pytest.approx(exact.low, abs=1e-9), None)


def test_none_of_300_is_at_most_one_in_a_hundred():
    assert upper_bound(0, 300).high == pytest.approx(0.0099, abs=1e-4)


@given(st.lists(st.floats(0.01, 1), min_size=4, max_size=4))
def test_a_mixture_of_known_points_is_unmixed(weights):
    truth = np.array(weights) / sum(weights)
    observed = truth[:3] @ CONFUSION + truth[3] * np.array([0, 0, 0, 1])
    assert corrected_rates(observed, CONFUSION) == pytest.approx(truth, abs=1e-8)


def test_corrected_rates_stay_rates_where_the_observed_are_no_mixture():
    found = corrected_rates(np.array([0.0, 0.0, 1.0, 0.0]), CONFUSION)
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1)


def test_shares_of_draws_cover_their_mean():
    rng, covered = np.random.default_rng(0), 0
    for _ in range(400):
        of_prompt = rng.beta(1, 4, size=60)
        found = mean_share(rng.binomial(3, of_prompt) / 3)
        covered += found.low <= 0.2 <= found.high
    assert covered / 400 >= 0.93
