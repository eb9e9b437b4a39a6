"""Intervals against SciPy's, and against what is known of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from margin.stats.intervals import jackknife_variance, lower_bound, mean_share, t_interval, upper_bound
from tests.intervals import holds, lower, upper


def test_variance_of_means_is_the_textbook_one() -> None:
    x = np.random.default_rng(0).gamma(2, size=(31, 4))
    found = np.sqrt(jackknife_variance((x - x.mean(axis=0)) / len(x)))
    np.testing.assert_allclose(found, stats.sem(x), rtol=1e-12)


def test_interval_of_a_mean_is_students() -> None:
    """The influences of a mean are (x - mean) / n; the interval is then the textbook one."""
    x = np.random.default_rng(23).gamma(2, size=25)
    estimate = t_interval(x.mean(), (x - x.mean()) / 25, level=0.9)
    low, high = stats.t.interval(0.9, 24, loc=x.mean(), scale=stats.sem(x))
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=1e-12)
    assert estimate.se == pytest.approx(stats.sem(x), abs=1e-12)


def test_one_prompt_has_no_interval() -> None:
    estimate = t_interval(0.3, np.zeros(1))
    assert (estimate.low, estimate.high, estimate.se) == (None, None, None)


def test_variance_that_is_known_to_be_there_is_kept() -> None:
    influence = np.linspace(-0.1, 0.1, 21)
    bare, lifted = t_interval(0.3, influence), t_interval(0.3, influence, at_least=0.25)
    assert lifted.se == 0.5
    assert upper(lifted) - lower(lifted) == pytest.approx(2 * stats.t.ppf(0.975, 20) * 0.5)
    assert t_interval(0.3, influence, at_least=1e-9).se == bare.se


@given(st.integers(1, 400), st.floats(0, 1), st.sampled_from([0.9, 0.95, 0.99]))
def test_bounds_are_those_of_the_exact_binomial_test(n: int, rate: float, level: float) -> None:
    count = round(rate * n)
    for bound, side in ((upper_bound, "less"), (lower_bound, "greater")):
        exact = stats.binomtest(count, n, alternative=side).proportion_ci(level, "exact")
        found = bound(np.arange(n) < count, level)
        assert found.estimate == count / n
        if side == "less":
            assert found.low is None
            assert upper(found) == pytest.approx(exact.high, abs=1e-9)
        else:
            assert lower(found) == pytest.approx(exact.low, abs=1e-9)
            assert found.high is None


def test_none_of_300_is_at_most_one_in_a_hundred() -> None:
    assert upper_bound(np.zeros(300, dtype=bool)).high == pytest.approx(0.0099, abs=1e-4)


def test_shares_of_draws_cover_their_mean() -> None:
    rng, covered = np.random.default_rng(0), 0
    for _ in range(400):
        of_prompt = rng.beta(1, 4, size=60)
        found = mean_share(rng.binomial(3, of_prompt) / 3)
        covered += holds(found, 0.2)
    assert covered / 400 >= 0.93
