"""Adjusted p-values against their definitions, simultaneous intervals against what is known of them."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats

from margin.stats.multiplicity import (
    Side,
    holm,
    simultaneous_estimates,
)
from tests.intervals import lower, upper
from tests.simulations import Record

P_VALUES = st.lists(st.floats(0, 1) | st.sampled_from([0.0, 0.01, 0.5, 1.0]), min_size=1, max_size=6)


@given(P_VALUES)
def test_holm_is_the_closed_test_of_bonferroni(p: list[float]) -> None:
    """A hypothesis is rejected where Bonferroni rejects every intersection it is part of."""
    m = len(p)
    closed = [
        max(
            min(1, size * min(p[j] for j in group))
            for size in range(1, m + 1)
            for group in combinations(range(m), size)
            if i in group
        )
        for i in range(m)
    ]
    assert_allclose(holm(p), closed, atol=1e-15)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.05, 1)), min_size=1, max_size=6))
def test_weighted_holm_is_the_closed_test_of_weighted_bonferroni(pairs: list[tuple[float, float]]) -> None:
    p, w = np.array(pairs).T
    m = len(p)
    sets = [list(chosen) for size in range(1, m + 1) for chosen in combinations(range(m), size)]
    joint = [min(1, min(p[chosen] / w[chosen]) * w[chosen].sum()) for chosen in sets]
    closed = [max(q for chosen, q in zip(sets, joint, strict=True) if i in chosen) for i in range(m)]
    assert_allclose(holm(p, w), closed, atol=1e-12)


def test_weights_keep_the_error_and_the_power_of_what_matters() -> None:
    """Four claims of which one is false, beside 54 others of no account; Monte Carlo error .005 (2,000)."""
    rng = np.random.default_rng(0)
    z = 0.6 * rng.standard_normal((2000, 1)) + 0.8 * rng.standard_normal((2000, 58))
    effect = np.zeros(58)
    effect[0] = 3.5
    weights = np.repeat([0.8 / 4, 0.2 / 54], [4, 54])
    p = stats.norm.sf(z + effect)
    weighted, plain = (np.array([holm(line, w) for line in p]) <= 0.05 for w in (weights, None))
    assert weighted[:, 1:].any(axis=1).mean() <= 0.05 + 2 * 0.005
    null = np.array([holm(line, weights) for line in stats.norm.sf(z)]) <= 0.05
    assert null.any(axis=1).mean() <= 0.05 + 2 * 0.005
    assert weighted[:, 0].mean() > plain[:, 0].mean() + 0.2


def test_no_p_values_give_no_p_values() -> None:
    assert holm([]).shape == (0,)


def influence_of_means(x: np.ndarray) -> np.ndarray:
    """(n, G) influences of the column means."""
    influence: np.ndarray = (x - x.mean(axis=0)) / len(x)
    return influence


def half_widths(x: np.ndarray, side: Side = "both", **options: Any) -> np.ndarray:
    """Half-widths in standard errors of the means, with many draws."""
    U = influence_of_means(x)
    found = simultaneous_estimates(
        x.mean(axis=0), U, np.random.default_rng(0), side=side, draws=40_000, **options
    )
    assert all((e.high is None) == (side == "lower") for e in found)
    return np.array([(e.estimate - lower(e)) / e.se for e in found if e.se])


@pytest.mark.parametrize(("side", "tail"), [("both", 0.025), ("lower", 0.05)])
def test_one_statistic_gets_the_t_interval(side: Side, tail: float) -> None:
    x = np.random.default_rng(1).standard_normal((12, 1))
    assert_allclose(half_widths(x, side), stats.t.isf(tail, 11), rtol=0.02)


def test_statistics_that_move_together_pay_nothing() -> None:
    x = np.random.default_rng(2).standard_normal((50, 1))
    assert_allclose(half_widths(np.hstack([x, 5 * x, -x])), stats.t.isf(0.025, 49), rtol=0.02)


def test_independent_statistics_pay_what_sidak_says() -> None:
    x = np.random.default_rng(3).standard_normal((2000, 8))
    assert_allclose(half_widths(x), stats.norm.isf((1 - 0.95 ** (1 / 8)) / 2), rtol=0.02)


def test_statistics_on_few_prompts_get_wider_intervals() -> None:
    x = np.random.default_rng(4).standard_normal((300, 2))
    few, many = half_widths(x, n_prompts=[5, 300])
    assert few / many == pytest.approx(stats.t.isf(0.0127, 4) / stats.t.isf(0.0127, 299), rel=0.03)


@pytest.mark.parametrize("side", ["both", "lower"])
def test_a_statistic_without_spread_has_no_width_and_costs_the_others_nothing(side: Side) -> None:
    x = np.random.default_rng(5).standard_normal((40, 3))
    with_constant = np.hstack([x, np.full((40, 1), 0.25)])
    found = simultaneous_estimates(
        with_constant.mean(axis=0), influence_of_means(with_constant), np.random.default_rng(0), side=side
    )
    assert (found[3].estimate, found[3].low, found[3].se) == (0.25, 0.25, 0.0)
    assert_allclose(half_widths(with_constant, side)[:3], half_widths(x, side), rtol=0.02)


def test_the_level_is_kept_and_named() -> None:
    x = np.random.default_rng(6).standard_normal((60, 5))
    widths = {}
    for level in (0.8, 0.95):
        found = simultaneous_estimates(
            x.mean(axis=0), influence_of_means(x), np.random.default_rng(0), level=level
        )
        assert {e.level for e in found} == {level}
        widths[level] = upper(found[0]) - lower(found[0])
    assert widths[0.8] < widths[0.95]


def joint_coverage(n: int, G: int, correlation: float, sims: int, side: Side) -> float:
    """Share of samples whose G means are all covered; skewed data, equally correlated columns."""
    rng = np.random.default_rng(7)
    covered = 0
    for _ in range(sims):
        common = rng.gamma(8, size=(n, 1)) - 8
        x = np.sqrt(correlation) * common + np.sqrt(1 - correlation) * (rng.gamma(8, size=(n, G)) - 8)
        found = simultaneous_estimates(x.mean(axis=0), influence_of_means(x), rng, side=side, draws=2000)
        covered += all(lower(e) <= 0 and (e.high is None or e.high >= 0) for e in found)
    return covered / sims


def test_joint_coverage() -> None:
    """Monte Carlo error .015 (200 samples); three of them below .95."""
    assert joint_coverage(n=60, G=10, correlation=0.5, sims=200, side="both") >= 0.90


@pytest.mark.slow
def test_joint_coverage_at_full_size(record_figures: Record) -> None:
    """Monte Carlo error .007 (1000 samples)."""
    for side in ("both", "lower"):
        for n in (40, 150):
            for G, correlation in ((6, 0.0), (30, 0.5), (30, 0.95)):
                found = joint_coverage(n, G, correlation, 1000, side)
                setting = f"{side}, {n} prompts, {G} estimates, correlation {correlation}"
                record_figures(setting, {"joint coverage": found})
                assert found >= 0.92
