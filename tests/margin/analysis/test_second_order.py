"""What a jackknife counts twice, against Hoeffding's decomposition, and what it does to intervals."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from paired_population import Population
from silhouette_oracle import DISTANCES, Array, labels, paired_points, pairwise, samples

from margin.analysis.design import make_design
from margin.analysis.distances import Distance
from margin.analysis.influence import SilhouetteMean, counted_twice, influence
from margin.analysis.sam import margins
from margin.analysis.second_order import SAMPLE, residual_variance, sampled_prompts
from margin.analysis.separation.contrast import contrast_counted_twice
from margin.analysis.separation.energy import energy_distance
from margin.analysis.silhouette import mode_sums, one_vs_one, silhouette
from margin.analysis.space import Coordinates


def symmetric(values: Array) -> Array:
    return (values + values.swapaxes(-1, -2)) / np.sqrt(2)


def residual_by_least_squares(kernel: Array) -> Array:
    """Pairs (p < q) of h less the best theta + g(p) + g(q)."""
    n = len(kernel)
    pairs = np.array(list(combinations(range(n), 2)))
    X = np.zeros((len(pairs), n))
    X[np.arange(len(pairs))[:, None], pairs] = 1
    h = kernel[*pairs.T]
    return h - X @ np.linalg.lstsq(X, h)[0]


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
    X, design = Population(0).draw(4 * SAMPLE, np.random.default_rng(3))
    distances = Coordinates(X).distances("euclidean")
    points = np.arange(len(X)).reshape(-1, 3)
    D = distances.matmul(np.eye(len(X)))[points][:, :, points]
    whole = residual_variance(np.einsum("pcqd,cd->pq", D, np.eye(3) - 1 / 3))
    n = design.n_prompts
    assert contrast_counted_twice(distances, design) == pytest.approx(2 * whole / (n * (n - 1)), rel=0.2)


@pytest.mark.parametrize("strength", [0.0, 3.0])
def test_of_a_contrast_it_is_the_residual_of_its_pairs(strength: float) -> None:
    n, k = 12, 3
    X, design = Population(strength).draw(n, np.random.default_rng(4))
    D = pairwise(X, "euclidean").reshape(n, k, n, k)
    kernel = np.trace(D, axis1=1, axis2=3) - D.sum(axis=(1, 3)) / k
    variance = np.sum(residual_by_least_squares(kernel) ** 2) / (n * (n - 3) / 2)
    found = contrast_counted_twice(Coordinates(X).distances("euclidean"), design)
    assert found == pytest.approx(2 * variance / (n * (n - 1)), rel=1e-9)


def moved_by_a_neighbour(D: Array, mode: Array, prompt: Array, share: Array, step: float = 1e-5) -> Array:
    """(n, n) derivative of the share of p's own silhouettes in the mean in the weight of q."""
    n = prompt.max() + 1
    out = np.empty((n, n))
    for q in range(n):
        up, down = (
            samples(D, mode, prompt, np.where(prompt == q, weight, 1.0)) for weight in (1 + step, 1 - step)
        )
        out[:, q] = np.bincount(prompt, share * (up - down) / (2 * step), minlength=n)
    return out


@pytest.mark.parametrize("distance", DISTANCES)
def test_of_silhouettes_it_is_what_prompts_do_to_each_other_as_neighbours(distance: Distance) -> None:
    rng = np.random.default_rng(5)
    mode, prompt = labels(9, 3, rng)
    X, design = paired_points(rng, mode, prompt), make_design(mode, prompt)
    distances = Coordinates(X).distances(distance)
    sums = mode_sums(distances, design)
    mean = sums.leave_prompt_out().mean
    # The design numbers modes and prompts by first appearance.
    pair = np.isin(design.mode, (0, 2))
    parts = [
        SilhouetteMean(silhouette(mean, design.mode), np.ones(len(X))),
        SilhouetteMean(one_vs_one(mean, design.mode, 0, 2), pair.astype(float)),
    ]
    D = pairwise(X, distance)
    of_all = moved_by_a_neighbour(D, design.mode, design.prompt, np.full(len(X), 1 / len(X)))
    of_pair = moved_by_a_neighbour(
        D[np.ix_(pair, pair)], design.mode[pair], design.prompt[pair], np.full(pair.sum(), 1 / pair.sum())
    )
    expected = [
        9 * 8 / 2 * np.sum(residual_by_least_squares(moved + moved.T) ** 2) / (9 * 6 / 2)
        for moved in (of_all, of_pair)
    ]
    np.testing.assert_allclose(counted_twice(distances, sums, parts), expected, rtol=1e-6)


@pytest.mark.parametrize("margin", ["prompt_centred", "0 / 1", "energy distance"])
def test_without_a_difference_the_standard_error_is_right_less_what_is_counted_twice(margin: str) -> None:
    """Of 300 samples the spread is known to .04."""
    values, before, after = [], [], []
    for seed in range(300):
        X, design = Population(0).draw(60, np.random.default_rng([6, seed]))
        if margin == "energy distance":
            euclidean = Coordinates(X).distances("euclidean")
            estimate = energy_distance(euclidean, design)
            twice = contrast_counted_twice(euclidean, design)
        else:
            found = margins(Coordinates(X), design)
            estimate, U = found.estimates[margin], found.influence[margin]
            twice = 60 / 59 * np.sum(U**2) - estimate.se**2
        values.append(estimate.estimate)
        after.append(estimate.se**2)
        before.append(estimate.se**2 + twice)
    spread = np.std(values)
    assert np.sqrt(np.mean(before)) > 1.25 * spread
    assert abs(np.sqrt(np.mean(after)) / spread - 1) < 0.2


def test_where_modes_differ_hardly_anything_is_counted_twice() -> None:
    X, design = Population(4).draw(100, np.random.default_rng(7))
    distances = Coordinates(X).distances("cosine")
    sums = mode_sums(distances, design)
    parts = [SilhouetteMean(silhouette(sums.leave_prompt_out().mean, design.mode), np.ones(len(X)))]
    U = influence(distances, sums, parts)
    assert counted_twice(distances, sums, parts)[0] < 0.05 * np.sum(U**2)
