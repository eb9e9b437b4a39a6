"""Rank correlations against SciPy's, with ties and with weights."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from margin.stats.rank_correlation import kendall, order, spearman

Float = NDArray[np.float64]


def numbers(seed: int, n: int, tied: bool) -> tuple[Float, Float]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    y = x + rng.normal(size=n)
    return (np.round(x), np.round(2 * y)) if tied else (x, y)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("n", [5, 12, 80])
def test_both_equal_scipys(n: int, tied: bool) -> None:
    for seed in range(5):
        x, y = numbers(seed, n, tied)
        one = np.ones((n, 1))
        assert spearman(order(x), order(y), one)[0] == pytest.approx(stats.spearmanr(x, y).statistic)
        assert kendall(order(x), order(y), one)[0] == pytest.approx(stats.kendalltau(x, y).statistic)


def test_a_weight_of_three_is_three_units() -> None:
    x, y = numbers(0, 10, tied=True)
    weights = np.ones((10, 2))
    weights[4, 1] = 3
    repeated = np.repeat(np.arange(10), weights[:, 1].astype(int))
    found = spearman(order(x), order(y), weights), kendall(order(x), order(y), weights)
    expected = stats.spearmanr(x[repeated], y[repeated]), stats.kendalltau(x[repeated], y[repeated])
    for two, one, oracle in zip(found, (stats.spearmanr, stats.kendalltau), expected, strict=True):
        assert two[0] == pytest.approx(one(x, y).statistic)
        assert two[1] == pytest.approx(oracle.statistic)


def test_what_is_constant_has_no_correlation() -> None:
    x = np.arange(6.0)
    assert np.isnan(spearman(order(x), order(np.ones(6)), np.ones((6, 1))))[0]
    assert np.isnan(kendall(order(np.ones(6)), order(x), np.ones((6, 1))))[0]


def test_a_change_of_scale_changes_nothing() -> None:
    x, y = numbers(3, 30, tied=False)
    one = np.ones((30, 1))
    for f in (spearman, kendall):
        assert f(order(np.exp(5 * x)), order(y), one)[0] == f(order(x), order(y), one)[0]
        assert f(order(-x), order(y), one)[0] == pytest.approx(-f(order(x), order(y), one)[0])
