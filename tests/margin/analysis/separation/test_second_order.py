"""What a jackknife counts twice, against Hoeffding's decomposition, and what it does to intervals."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from margin.analysis.separation.energy import energy_distance
from margin.analysis.separation.second_order import (
    SAMPLE,
    contrast_residual,
    residual_variance,
    sampled_prompts,
)
from margin.analysis.separation.variance import variance_split
from margin.analysis.space import Coordinates
from margin.stats.design import make_design
from tests.margin.analysis.separation.separation_data import Array, design_of, paired


def symmetric(values: Array) -> Array:
    found: Array = (values + values.swapaxes(-1, -2)) / np.sqrt(2)
    return found


def residual_by_least_squares(kernel: Array) -> Array:
    """Pairs (p < q) of h less the best theta + g(p) + g(q)."""
    n = len(kernel)
    pairs = np.array(list(combinations(range(n), 2)))
    X = np.zeros((len(pairs), n))
    X[np.arange(len(pairs))[:, None], pairs] = 1
    h = kernel[*pairs.T]
    residual: Array = h - X @ np.linalg.lstsq(X, h)[0]
    return residual


def test_the_residual_is_what_no_sum_over_single_prompts_explains() -> None:
    kernels = symmetric(np.random.default_rng(0).standard_normal((3, 9, 9)))
    expected = [np.sum(residual_by_least_squares(kernel) ** 2) / (9 * 6 / 2) for kernel in kernels]
    np.testing.assert_allclose(residual_variance(kernels), expected, rtol=1e-9)


def test_the_residuals_variance_has_no_bias_and_leaves_single_prompts_out() -> None:
    """The mean of 4,000 samples of five prompts is known to a hundredth or so."""
    rng = np.random.default_rng(1)
    r = symmetric(rng.standard_normal((4000, 5, 5)))
    g = 10 * rng.standard_normal((4000, 5, 1))
    found = residual_variance(7 + g + g.swapaxes(-1, -2) + r)
    assert abs(found.mean() - 1) < 4 * found.std() / np.sqrt(4000)
    np.testing.assert_allclose(found, residual_variance(r), rtol=1e-9)


def test_three_prompts_leave_no_residual() -> None:
    np.testing.assert_array_equal(residual_variance(np.ones((2, 3, 3))), 0)


def test_all_of_few_prompts_are_sampled_and_some_of_many_in_whatever_order() -> None:
    few = make_design(list("ab") * 5, np.repeat(np.arange(5), 2))
    np.testing.assert_array_equal(sampled_prompts(few), np.arange(5))
    ids = np.array([f"p{i}" for i in range(1000)])
    taken = []
    for order in (np.arange(1000), np.random.default_rng(2).permutation(1000)):
        many = make_design(list("ab") * 1000, np.repeat(ids[order], 2))
        sample = sampled_prompts(many)
        assert len(set(sample)) == SAMPLE
        taken.append({many.prompt_ids[p] for p in sample})
    assert taken[0] == taken[1]


def test_a_sample_of_the_prompts_tells_of_all() -> None:
    n = 4 * SAMPLE
    X, design = paired(np.random.default_rng(3), n, strength=0), design_of(n, 3)
    distances = Coordinates(X).distances("euclidean")
    points = np.arange(len(X)).reshape(-1, 3)
    D = distances.matmul(np.eye(len(X)))[points][:, :, points]
    whole = residual_variance(np.einsum("pcqd,cd->pq", D, np.eye(3) - 1 / 3))
    assert contrast_residual(distances, design) == pytest.approx(whole, rel=0.2)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_of_a_contrast_it_is_the_residual_of_its_pairs(k: int) -> None:
    n = 12
    X, design = paired(np.random.default_rng(4), n, k), design_of(n, k)
    D = cdist(X, X).reshape(n, k, n, k)
    kernel = np.trace(D, axis1=1, axis2=3) - D.sum(axis=(1, 3)) / k
    expected = np.sum(residual_by_least_squares(kernel) ** 2) / (n * (n - 3) / 2)
    assert contrast_residual(Coordinates(X).distances("euclidean"), design) == pytest.approx(
        expected, rel=1e-9
    )


@pytest.mark.parametrize("n", [30, 60])
@pytest.mark.parametrize("k", [2, 4])
def test_without_a_difference_standard_errors_are_a_little_wide(k: int, n: int) -> None:
    """With half of what is counted twice the ratio is sqrt(1.5) = 1.22, of 300 samples known to .04."""
    design, found = design_of(n, k), []
    for seed in range(300):
        space = Coordinates(paired(np.random.default_rng([6, seed]), n, k, d=30, strength=0))
        energy = energy_distance(space.distances("euclidean"), design)
        mode = variance_split(space.distances("sqeuclidean"), design).mode
        found.append([(e.estimate, e.se) for e in (energy, mode)])
    values, errors = np.moveaxis(np.array(found), -1, 0)
    ratio = np.sqrt(np.mean(errors**2, axis=0)) / values.std(axis=0)
    np.testing.assert_allclose(ratio, np.sqrt(1.5), atol=0.17)
