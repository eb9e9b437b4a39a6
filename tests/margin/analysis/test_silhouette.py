"""Silhouettes and margins against scikit-learn and against their definitions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import silhouette_samples as sklearn_silhouette_samples
from sklearn.metrics.pairwise import cosine_distances

from margin.analysis.metrics import Distance
from margin.analysis.sam import silhouette_samples
from margin.analysis.space import Coordinates, Gram
from tests.margin.silhouette_oracle import (
    DISTANCES,
    Array,
    any_points,
    labels,
    paired_points,
    pairwise,
    samples,
)

METRICS = ("cosine", "euclidean", "sqeuclidean")
reproducibly = settings(max_examples=25, deadline=None, derandomize=True)


@pytest.mark.parametrize("sizes", [(40, 40, 40), (3, 50, 11), (30, 1, 1, 20), (2, 2)])
@pytest.mark.parametrize("distance", METRICS)
def test_plain_equals_scikit_learn(distance: Distance, sizes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(10)
    mode = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    X = rng.standard_normal((len(mode), 8)) + 0.7 * rng.standard_normal((len(sizes), 8))[mode] + 1
    expected = sklearn_silhouette_samples(X, mode, metric=distance)
    np.testing.assert_allclose(silhouette_samples(X, mode, distance=distance), expected, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("zeros", [1, 3, 12, 24])
def test_zero_rows_are_as_scikit_learn_has_them(zeros: int, dtype: type) -> None:
    """At a cosine distance of 1 from every other point, other zero rows too."""
    rng = np.random.default_rng(17)
    mode = rng.permutation(np.repeat(np.arange(3), 8))
    X = (rng.standard_normal((24, 5)) + rng.standard_normal((3, 5))[mode]).astype(dtype)
    X[rng.permutation(24)[:zeros]] = 0
    expected = sklearn_silhouette_samples(X.astype(np.float64), mode, metric="cosine")
    tolerance = 1e-9 if dtype == np.float64 else 1e-6
    np.testing.assert_allclose(silhouette_samples(X, mode, distance="cosine"), expected, atol=tolerance)
    D = cosine_distances(X.astype(np.float64))
    for taken in (Coordinates(X).distances("cosine"), Gram(X @ X.T).distances("cosine")):
        np.testing.assert_allclose(taken.matmul(np.eye(24)), D, atol=tolerance)
        i, j = np.indices((24, 24)).reshape(2, -1)
        np.testing.assert_allclose(taken.between(i, j), D.ravel(), atol=tolerance)
        some = rng.permutation(24)[:10]
        found = taken.subset(some).matmul(np.eye(10))
        np.testing.assert_allclose(found, D[np.ix_(some, some)], atol=tolerance)


@pytest.mark.parametrize("missing", [0.0, 0.5])
@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("distance", DISTANCES)
def test_leave_prompt_out_equals_its_definition(distance: Distance, k: int, missing: float) -> None:
    rng = np.random.default_rng(11)
    mode, prompt = labels(14, k, rng, missing)
    X = paired_points(rng, mode, prompt)
    taken = silhouette_samples(any_points(X, distance), mode, prompt, distance=distance)
    np.testing.assert_allclose(taken, samples(pairwise(X, distance), mode, prompt), atol=1e-9)


def degenerate(case: str) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(12)
    n = 2 if case == "two prompts" else 8
    mode, prompt = labels(n, 3, rng)
    X = paired_points(rng, mode, prompt) + 5
    match case:
        case "identical modes":
            X = X[[np.flatnonzero(prompt == p)[0] for p in prompt]]
        case "one mode constant":
            X[mode == 1] = X[mode == 1][0]
        case "two modes constant and the same":
            X[mode != 2] = X[mode != 2][0]
        case "everything constant":
            X[:] = X[0]
        case "everything zero":
            X[:] = 0
        case "duplicate prompts":
            for p in range(0, n, 2):
                for c in range(3):
                    X[(prompt == p + 1) & (mode == c)] = X[(prompt == p) & (mode == c)]
        case "one prompt far out":
            X[prompt == 3] *= 1e6
        case "zero rows":
            X[prompt == 2] = 0
            X[(prompt == 4) & (mode == 0)] = 0
        case "singleton mode":
            keep = (mode != 2) | (prompt == 0)
            X, mode, prompt = X[keep], mode[keep], prompt[keep]
        case "two prompts":
            pass
        case _:
            raise AssertionError(case)
    return X, mode, prompt


CASES = [
    "identical modes",
    "one mode constant",
    "two modes constant and the same",
    "everything constant",
    "everything zero",
    "duplicate prompts",
    "one prompt far out",
    "zero rows",
    "singleton mode",
    "two prompts",
]


@pytest.mark.parametrize("plain", [True, False], ids=["plain", "leave-prompt-out"])
@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("case", CASES)
def test_degenerate_points_follow_the_definition(case: str, distance: Distance, plain: bool) -> None:
    X, mode, prompt = degenerate(case)
    expected = samples(pairwise(X, distance), mode, prompt, plain=plain)
    for points in (any_points(X, distance), Gram(X @ X.T)):
        if isinstance(points, Gram) and case == "one prompt far out":
            continue  # inner products of 1e12 beside distances of 1 hold no nine digits of the latter
        taken = silhouette_samples(points, mode, None if plain else prompt, distance)
        np.testing.assert_allclose(taken, expected, atol=1e-9)


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("case", CASES)
def test_float32_follows_the_definition_on_degenerate_points(case: str, distance: Distance) -> None:
    X, mode, prompt = degenerate(case)
    X = X.astype(np.float32)
    taken = silhouette_samples(any_points(X, distance), mode, prompt, distance)
    far_out = (
        case == "one prompt far out"
    )  # float32 holds seven digits of 1e6: the rest can not be asked back
    keep = prompt != 3 if far_out else prompt >= 0
    expected = samples(pairwise(X, distance), mode, prompt)
    np.testing.assert_allclose(taken[keep], expected[keep], atol=2e-2 if far_out else 2e-5)


@pytest.mark.parametrize("constant", ["every mode", "two modes"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("distance", DISTANCES)
def test_rounding_makes_no_silhouettes(distance: Distance, dtype: type, constant: str) -> None:
    """0/0 is 0 by convention; sums over many points leave a rounding of the one and the other to divide."""
    rng = np.random.default_rng(15)
    mode, prompt = labels(400, 3, rng)
    X = paired_points(rng, mode, prompt, d=70)
    constant_points = (mode >= 0) if constant == "every mode" else mode != 2
    X[constant_points] = X[0] / 3
    taken = silhouette_samples(any_points(X.astype(dtype), distance), mode, prompt, distance)
    np.testing.assert_array_equal(taken[constant_points], 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_points_on_one_ray_have_no_angle_between_them(dtype: type) -> None:
    rng = np.random.default_rng(16)
    mode, prompt = labels(50, 3, rng)
    X: Array = np.outer(rng.uniform(0.1, 10, len(mode)), rng.standard_normal(40)).astype(dtype)
    np.testing.assert_array_equal(silhouette_samples(X, mode, prompt, "cosine"), 0)


@pytest.mark.parametrize("distance", METRICS)
def test_a_shared_offset_in_float32_changes_nothing(distance: Distance) -> None:
    rng = np.random.default_rng(13)
    mode, prompt = labels(60, 3, rng)
    X = paired_points(rng, mode, prompt, d=32).astype(np.float32) + np.float32(300)
    expected = samples(pairwise(X, distance), mode, prompt)
    np.testing.assert_allclose(
        silhouette_samples(any_points(X, distance), mode, prompt, distance), expected, atol=2e-5
    )


def test_one_outlying_prompt_does_not_pass_for_the_scale_of_the_others() -> None:
    """In float32 a distance 1e-6 of the largest must count as distance, where its own sums resolve it."""
    rng = np.random.default_rng(14)
    mode, prompt = labels(300, 3, rng)
    X = paired_points(rng, mode, prompt, d=16, separation=3.0)
    outlier = (prompt == 0) & (mode == 2)
    X[outlier] *= 2e3
    expected = samples(pairwise(X, "sqeuclidean"), mode, prompt)
    taken = silhouette_samples(X.astype(np.float32), mode, prompt, "sqeuclidean")
    np.testing.assert_allclose(taken, expected, atol=1e-3)
    assert np.ptp(expected[~outlier]) > 0.2


designs = st.tuples(
    st.integers(2, 9), st.integers(2, 4), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.4])
)
Drawn = tuple[int, int, int, float]


def draw(drawn: Drawn) -> tuple[np.random.Generator, Array, Array, Array]:
    n, k, seed, missing = drawn
    rng = np.random.default_rng(seed)
    mode, prompt = labels(n, k, rng, missing)
    return rng, mode, prompt, paired_points(rng, mode, prompt, d=5)


@pytest.mark.parametrize("distance", DISTANCES)
@given(drawn=designs)
@reproducibly
def test_within_minus_one_and_one(distance: Distance, drawn: Drawn) -> None:
    _, mode, prompt, X = draw(drawn)
    for prompts in (None, prompt):
        taken = silhouette_samples(any_points(X, distance), mode, prompts, distance)
        assert (np.abs(taken) <= 1).all()


@pytest.mark.parametrize("distance", DISTANCES)
@given(drawn=designs, exponent=st.integers(-12, 12))
@reproducibly
def test_rotation_and_scale_change_nothing(distance: Distance, drawn: Drawn, exponent: int) -> None:
    rng, mode, prompt, X = draw(drawn)
    rotation = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    before = silhouette_samples(any_points(X, distance), mode, prompt, distance)
    after = silhouette_samples(any_points(10.0**exponent * X @ rotation, distance), mode, prompt, distance)
    np.testing.assert_allclose(after, before, atol=1e-9)


@pytest.mark.parametrize("distance", ["euclidean", "sqeuclidean", "hellinger2"])
@given(drawn=designs)
@reproducibly
def test_translation_changes_nothing(distance: Distance, drawn: Drawn) -> None:
    rng, mode, prompt, X = draw(drawn)
    before = silhouette_samples(any_points(X, distance), mode, prompt, distance)
    after = silhouette_samples(any_points(X + 100 * rng.standard_normal(5), distance), mode, prompt, distance)
    np.testing.assert_allclose(after, before, atol=1e-9)


@pytest.mark.parametrize("distance", DISTANCES)
@given(drawn=designs)
@reproducibly
def test_row_order_and_names_change_nothing(distance: Distance, drawn: Drawn) -> None:
    rng, mode, prompt, X = draw(drawn)
    order = rng.permutation(len(mode))
    names = np.array(["zeta", "alpha", "mid", "beta"])[rng.permutation(4)]
    before = silhouette_samples(any_points(X, distance), mode, prompt, distance)
    after = silhouette_samples(
        any_points(X[order], distance), names[mode[order]], prompt[order] + 1000, distance
    )
    np.testing.assert_allclose(after, before[order], atol=1e-12)


@pytest.mark.parametrize("distance", DISTANCES)
@given(drawn=designs)
@reproducibly
def test_modes_moved_apart_never_lower_a_silhouette(distance: Distance, drawn: Drawn) -> None:
    """Each mode moves along an axis of its own, square to the points: within a mode nothing comes apart."""
    _, mode, prompt, X = draw(drawn)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    axes = np.eye(mode.max() + 1)[mode]
    grown = [
        silhouette_samples(any_points(np.hstack([X, step * axes]), distance), mode, prompt, distance)
        for step in (0, 0.1, 0.5, 2, 10)
    ]
    for less, more in itertools.pairwise(grown):
        assert (more >= less - 1e-12).all()
