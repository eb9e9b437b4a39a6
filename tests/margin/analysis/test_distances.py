"""Products with the distance matrix and single distances, against the matrix itself."""

from __future__ import annotations

import numpy as np
import pytest

from margin.analysis import distances as module
from margin.analysis import euclidean, vectors
from margin.analysis.distances import SquaredDistances
from margin.analysis.metrics import Distance
from margin.analysis.space import Coordinates
from margin.analysis.vectors import unit_rows
from margin.errors import MarginError
from tests.margin.silhouette_oracle import DISTANCES, Array, pairwise


@pytest.fixture
def many_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven rows a block, so that 50 points make eight blocks and one of them is short."""
    for home, constant in ((module, "ROWS"), (vectors, "STRIP"), (euclidean, "EDGE")):
        monkeypatch.setattr(home, constant, 7)


@pytest.mark.usefixtures("many_blocks")
@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_products_and_entries_equal_those_of_the_matrix(distance: Distance, dtype: type) -> None:
    rng = np.random.default_rng(2)
    X: Array = (rng.standard_normal((50, 9)) + 3).astype(dtype)
    M = rng.standard_normal((50, 4))
    i, j = rng.integers(0, 50, (2, 30))
    D = pairwise(X, distance)
    taken = Coordinates(X).distances(distance)
    tolerance = 1e-9 if dtype == np.float64 else 2e-5
    np.testing.assert_allclose(taken.matmul(M), D @ M, atol=tolerance)
    np.testing.assert_allclose(taken.between(i, j), D[i, j], atol=tolerance)
    some = rng.permutation(50)[:20]
    found = taken.subset(some).matmul(M[some])
    np.testing.assert_allclose(found, D[np.ix_(some, some)] @ M[some], atol=tolerance)


@pytest.mark.usefixtures("many_blocks")
@pytest.mark.parametrize("gap", [0.0, 1e-12, 1e-7])
def test_euclidean_distances_of_near_duplicates_keep_their_digits(gap: float) -> None:
    """|x|^2 + |y|^2 - 2 x.y alone has no digit left at a gap of 1e-7, and none is allowed to go NaN."""
    rng = np.random.default_rng(3)
    X = np.repeat(10 * rng.standard_normal((20, 5)), 2, axis=0)
    X[1::2, 0] += gap
    D = Coordinates(X).distances("euclidean").matmul(np.eye(40))
    gaps = np.abs(X[1::2, 0] - X[::2, 0])
    np.testing.assert_allclose(D[np.arange(0, 40, 2), np.arange(1, 40, 2)], gaps, rtol=1e-6, atol=2e-14)
    np.testing.assert_allclose(D, pairwise(X, "euclidean"), atol=2e-14 * 100)


@pytest.mark.usefixtures("many_blocks")
def test_euclidean_distances_within_tight_modes_keep_their_digits_in_float32() -> None:
    """Many pairs are near for their distance from the centre: whole blocks are worked in float64."""
    rng = np.random.default_rng(9)
    X = 30 * rng.standard_normal((3, 6))[np.arange(60) % 3] + 0.01 * rng.standard_normal((60, 6))
    X = np.vstack([X, rng.standard_normal((40, 6))]).astype(np.float32)
    expected = pairwise(X, "euclidean")
    taken = Coordinates(X).distances("euclidean").matmul(np.eye(100))
    np.testing.assert_allclose(taken, expected, rtol=3e-4, atol=0)


@pytest.mark.parametrize("distance", ["sqeuclidean", "cosine"])
def test_a_shared_offset_costs_float32_nothing_once_centred(distance: Distance) -> None:
    rng = np.random.default_rng(4)
    X = (rng.standard_normal((200, 64)) + 160).astype(np.float32)
    M = np.eye(200)[:, :5]
    exact = pairwise(X, distance) @ M
    uncentred = {
        "sqeuclidean": SquaredDistances(X),
        "cosine": SquaredDistances(unit_rows(X), scale=0.5),
    }[distance]

    def error(D: SquaredDistances) -> float:
        return float(np.abs(D.matmul(M) - exact).max() / exact.max())

    centred = Coordinates(X).distances(distance)
    assert isinstance(centred, SquaredDistances)
    assert error(uncentred) > 1e-3
    assert error(centred) < 3e-6


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("distance", DISTANCES)
def test_points_that_are_not_finite_are_named(distance: Distance, bad: float) -> None:
    X: Array = np.ones((6, 3), dtype=np.float32)
    X[4, 1] = bad
    with pytest.raises(MarginError, match="1 of 6 points are NaN or infinite, the first at row 4"):
        Coordinates(X).distances(distance)


def test_an_unknown_distance_is_refused_with_the_known_ones() -> None:
    with pytest.raises(MarginError, match="'manhattan': take cosine, euclidean"):
        Coordinates(np.eye(3)).distances("manhattan")  # type: ignore[arg-type]


def test_half_precision_is_worked_in_single_and_integers_in_double() -> None:
    for given, worked in ((np.float16, np.float32), (np.int64, np.float64)):
        found = Coordinates(np.ones((2, 2), given)).distances("sqeuclidean")
        assert isinstance(found, SquaredDistances)
        assert found.X.dtype == worked


def test_the_callers_points_are_left_as_they_are() -> None:
    X = np.random.default_rng(5).standard_normal((8, 3))
    before = X.copy()
    for distance in DISTANCES:
        Coordinates(X).distances(distance).matmul(np.eye(8))
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize("distance", ["sqeuclidean", "euclidean"])
@pytest.mark.parametrize(("dtype", "far"), [(np.float32, 1e4), (np.float32, 1e5), (np.float64, 1e5)])
def test_a_point_far_out_costs_the_others_no_digits(distance: Distance, dtype: type, far: float) -> None:
    X = np.random.default_rng(8).standard_normal((40, 6))
    X[7] *= far
    X = X.astype(dtype)
    space = Coordinates(X).distances(distance)
    expected = pairwise(X.astype(np.float64), distance)
    near = np.delete(np.arange(40), 7)
    found = space.matmul(np.eye(40))
    np.testing.assert_allclose(found[np.ix_(near, near)], expected[np.ix_(near, near)], rtol=1e-4, atol=1e-4)


def test_a_point_out_of_reach_of_any_precision_is_refused() -> None:
    X = np.random.default_rng(9).standard_normal((40, 6))
    X[7] *= 1e9
    with pytest.raises(MarginError, match="times as far out as others do"):
        Coordinates(X).distances("sqeuclidean")
    Coordinates(X).distances("cosine")
