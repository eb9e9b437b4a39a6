"""Coordinates and inner products are two descriptions of the same points."""

from __future__ import annotations

import numpy as np
import pytest

from margin.analysis.metrics import Distance
from margin.analysis.space import Coordinates, Gram
from margin.errors import MarginError
from margin.stats.design import make_design
from tests.margin.silhouette_oracle import DISTANCES, labels, paired_points, pairwise


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("distance", DISTANCES)
def test_inner_products_give_the_distances_of_coordinates(distance: Distance, missing: float) -> None:
    rng = np.random.default_rng(6)
    mode, prompt = labels(12, 3, rng, missing)
    design = make_design(mode, prompt)
    X = paired_points(rng, mode, prompt)
    eye = np.eye(len(X))
    spaces = Coordinates(X), Gram(X @ X.T)
    plain = [space.distances(distance).matmul(eye) for space in spaces]
    np.testing.assert_allclose(plain[1], plain[0], atol=1e-9)

    means = np.stack([X[prompt == p].mean(axis=0) for p in prompt])
    centred = [space.centred_by_prompt(design).distances(distance).matmul(eye) for space in spaces]
    np.testing.assert_allclose(centred[0], pairwise(X - means, distance), atol=1e-9)
    np.testing.assert_allclose(centred[1], centred[0], atol=1e-9)

    keep = rng.random(len(X)) < 0.5
    kept = [space.subset(keep).distances(distance).matmul(np.eye(keep.sum())) for space in spaces]
    np.testing.assert_allclose(kept[0], pairwise(X[keep], distance), atol=1e-9)
    np.testing.assert_allclose(kept[1], kept[0], atol=1e-9)


@pytest.mark.parametrize("distance", DISTANCES)
def test_coinciding_points_stand_exactly_0_apart(distance: Distance) -> None:
    """sqrt turns a rounding of 1e-16 into a distance of 1e-8: it has to go before."""
    rng = np.random.default_rng(7)
    X = np.repeat(rng.standard_normal((10, 30)) * 3 + 1, 2, axis=0)
    pairs = np.arange(0, 20, 2), np.arange(1, 20, 2)
    rounding = np.finfo(float).eps * rng.uniform(-2, 2, (20, 20))
    for space in (Coordinates(X), Gram(X @ X.T * (1 + rounding + rounding.T))):
        np.testing.assert_array_equal(space.distances(distance).between(*pairs), 0)


def test_a_prompt_on_which_the_modes_agree_is_0_after_centring() -> None:
    """What rounding leaves there has a direction; under cosine it would pass for a whole unit of evidence."""
    rng = np.random.default_rng(8)
    mode, prompt = labels(6, 7, rng)  # of seven equal numbers the mean is not always the number
    X = paired_points(rng, mode, prompt) + 1e3
    X[prompt == 2] = X[prompt == 2][0] * np.float64(1.1)
    design = make_design(mode, prompt)
    centred = Coordinates(X).centred_by_prompt(design)
    np.testing.assert_array_equal(centred.X[prompt == 2], 0)
    assert (np.abs(centred.X[prompt != 2]).max(axis=1) > 0.01).all()
    rounding = np.finfo(float).eps * rng.uniform(-2, 2, (42, 42))
    gram = Gram(X @ X.T * (1 + rounding + rounding.T)).centred_by_prompt(design)
    np.testing.assert_array_equal(np.diag(gram.K)[prompt == 2], 0)


def test_inner_products_that_are_not_finite_are_refused() -> None:
    K = np.eye(4)
    K[1, 2] = np.nan
    with pytest.raises(MarginError, match="NaN or infinite"):
        Gram(K).distances("cosine")


def test_centring_by_prompt_names_the_rows_that_are_not_finite() -> None:
    X = np.ones((4, 2))
    X[3, 0] = np.inf
    design = make_design(list("abab"), list("ppqq"))
    with pytest.raises(MarginError, match="1 of 4 points are NaN or infinite, the first at row 3"):
        Coordinates(X).centred_by_prompt(design)
