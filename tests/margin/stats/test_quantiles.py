"""Each quantile and tail is that of `scipy.stats`, whose import is what they save."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from margin.stats import quantiles

P = np.array([1e-6, 0.001, 0.025, 0.05, 0.5, 0.8, 0.95, 0.975, 0.9999])
X = np.linspace(-6, 6, 13)


@pytest.mark.parametrize("degrees", [1, 2, 5.5, 30, 1e6, np.inf])
def test_students_t(degrees: float) -> None:
    np.testing.assert_allclose(quantiles.t_quantile(P, degrees), stats.t.ppf(P, degrees), rtol=1e-12)
    np.testing.assert_allclose(quantiles.t_tail(X, degrees), stats.t.sf(X, degrees), rtol=1e-12)


@pytest.mark.parametrize("degrees", [1, 5, 119, 1e6])
def test_the_noncentral_t_whatever_its_noncentrality(degrees: float) -> None:
    away = np.array([0.0, 0.1, 1, 2.5, 8, 36, 60, 1000, 1e6])
    for x in stats.t.ppf([0.8, 0.95, 0.9995], degrees):
        found, expected = quantiles.noncentral_t_tail(x, degrees, away), stats.nct.sf(x, degrees, away)
        np.testing.assert_allclose(found, expected, atol=3e-5)  # SciPy 1.13; 1e-15 since


def test_the_normal_and_the_beta() -> None:
    np.testing.assert_allclose(quantiles.normal_quantile(P), stats.norm.ppf(P), atol=1e-12)
    np.testing.assert_allclose(quantiles.normal_tail(X), stats.norm.sf(X), rtol=1e-12)
    a, b = np.arange(1.0, 90), np.arange(90.0, 1, -1)
    np.testing.assert_allclose(quantiles.beta_quantile(0.025, a, b), stats.beta.ppf(0.025, a, b), rtol=1e-10)
    np.testing.assert_allclose(quantiles.beta_below(0.3, a, b), stats.beta.cdf(0.3, a, b), rtol=1e-10)


@pytest.mark.parametrize("p", [0.001, 0.05, 0.5, 0.97])
@pytest.mark.parametrize("q", [0.01, 0.05, 0.4, 0.95, 0.999])
def test_the_binomial(p: float, q: float) -> None:
    n = np.unique(np.geomspace(1, 1e5, 200).astype(np.int64))
    found = quantiles.binomial_quantile(q, n, p)
    np.testing.assert_array_equal(found, stats.binom.ppf(q, n, p))
    for k in (found - 1, found):
        expected = np.asarray(stats.binom.cdf(k, n, p), dtype=np.float64)
        np.testing.assert_allclose(quantiles.binomial_below(k, n, p), expected, atol=1e-12)
