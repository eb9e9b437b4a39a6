"""The covariance that rows are placed by, against scikit-learn's, and where there is little to go by."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf

from margin.stats.covariance import covariance_within, means_of, shrunken_covariance


@pytest.mark.parametrize(("n", "d"), [(5, 40), (40, 5), (300, 12), (2, 3), (12, 12)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_is_scikit_learns_but_for_what_keeps_it_invertible(n: int, d: int, dtype: type) -> None:
    rng = np.random.default_rng(n)
    rows: np.ndarray = (rng.normal(size=(n, d)) * rng.uniform(0.1, 5, d)).astype(dtype)
    expected = ledoit_wolf(rows, assume_centered=True)[0]
    variance = np.trace(expected) / d
    found = shrunken_covariance(rows)
    tolerance = 1e-4 if dtype is np.float32 else 1e-10
    np.testing.assert_allclose(found, expected + 1e-9 * variance * np.eye(d), atol=tolerance * variance)


@pytest.mark.parametrize("rows", [np.zeros((6, 4)), np.outer(np.arange(6.0) - 2.5, [1, 0, 0, 0])])
def test_it_can_be_inverted_where_axes_have_no_variance(rows: np.ndarray) -> None:
    assert np.linalg.eigvalsh(shrunken_covariance(rows)).min() > 0


def test_means_and_covariance_are_read_block_by_block() -> None:
    X = np.random.default_rng(3).normal(size=(5000, 6)) + 5
    places = np.random.default_rng(4).permutation(5000)[:4500].reshape(1500, 3)
    means = means_of(X, places)
    np.testing.assert_allclose(means, X[places].mean(axis=0), rtol=1e-12)
    expected = shrunken_covariance((X[places] - means).reshape(-1, 6))
    np.testing.assert_allclose(covariance_within(X, places, means), expected, rtol=1e-12)
