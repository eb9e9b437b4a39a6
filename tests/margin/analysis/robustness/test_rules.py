"""Both rules against scikit-learn, and what landing makes of them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import NearestCentroid

from margin.analysis.robustness.assignment import OUTSIDE_P, Assignment, assign
from margin.analysis.robustness.rules import FITS, Float
from margin.inputs.condition import Rule

N, K, D = 60, 3, 6


def points(seed: int, n: int = N, noise: float = 1.0, again: int = 0) -> np.ndarray:
    """(n, k, d) points: strong prompt effects, modes some standard deviations apart, correlated noise.

    The same seed with another `again` is another run of the same prompts.
    """
    modes = np.random.default_rng(99).normal(size=(K, D)) * 2
    mixing = np.random.default_rng(98).normal(size=(D, D)) / np.sqrt(D)
    text = 5 * np.random.default_rng(seed).normal(size=(n, 1, D))
    X: np.ndarray = (
        text + modes + noise * np.random.default_rng([seed, again]).normal(size=(n, K, D)) @ mixing
    )
    return X


def distances(rule: Rule, training: np.ndarray, tested: np.ndarray, own: np.ndarray | None = None) -> Float:
    """Distances of points from the modes of other prompts (n, K, D); own : means of their prompts."""
    n, k, d = training.shape
    fit = FITS[rule](training.reshape(-1, d), np.arange(n * k).reshape(n, k))
    return fit.distances(tested, np.zeros_like(tested) if own is None else own)


def place(rule: Rule, known: np.ndarray, controls: np.ndarray, folds: int = 5) -> Assignment:
    """Land one control a prompt beside the known points."""
    n = len(known)
    prompt = np.concatenate([np.repeat(np.arange(n), K), np.arange(n)])
    X = np.concatenate([known.reshape(-1, D), controls])
    return assign(rule, X, np.arange(n * K).reshape(n, K), prompt, np.arange(n) % folds)


def test_centroid_rule_is_the_nearest_centroid_of_block_centred_points() -> None:
    training, own = points(0), points(1)
    tested = own[:, 1] + np.random.default_rng(2).normal(size=(N, D))
    centred = training - training.mean(axis=1, keepdims=True)
    oracle = NearestCentroid().fit(centred.reshape(-1, D), np.tile(np.arange(K), N))
    found = distances("centroid", training, tested, own.mean(axis=1))
    expected = oracle.predict(tested - own.mean(axis=1))
    assert (found.argmin(axis=1) == expected).all()
    assert found == pytest.approx(distances("centroid", training + 7, tested + 3, own.mean(axis=1) + 3))


def test_discriminant_distances_are_mahalanobis_under_ledoit_wolf() -> None:
    training, tested = points(0), points(1)[:, 0]
    means = training.mean(axis=0)
    oracle = LedoitWolf(assume_centered=True).fit((training - means).reshape(-1, D))
    expected = np.sqrt(np.column_stack([oracle.mahalanobis(tested - mean) for mean in means]))
    assert distances("discriminant", training, tested) == pytest.approx(expected, rel=1e-6)


def test_discriminant_rule_agrees_with_scikit_learns_shrunken_analysis() -> None:
    # scikit-learn shrinks each class by itself, so points between two modes may part ways.
    training, tested = points(0, n=400), points(1, n=400).reshape(-1, D)
    oracle = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    oracle.fit(training.reshape(-1, D), np.tile(np.arange(K), 400))
    agree = distances("discriminant", training, tested).argmin(axis=1) == oracle.predict(tested)
    assert agree.mean() > 0.97


def test_discriminant_distances_stand_axes_without_variance_and_points_without_any() -> None:
    training = points(0)
    training[:, :, 0] = 1.0
    assert np.isfinite(distances("discriminant", training, training[:, 0])).all()
    alike = np.broadcast_to(points(0)[0], (N, K, D))
    assert (distances("discriminant", alike, alike[0]).argmin(axis=1) == np.arange(K)).all()


@pytest.mark.parametrize("rule", ["centroid", "discriminant"])
def test_a_fit_never_sees_the_tested_prompt(rule: Rule) -> None:
    known, controls = points(0), points(0, again=1)[:, 0]
    spoilt = known.copy()
    spoilt[0] += 1e4 * np.array([[0], [1], [2]])  # ruins every fit that this prompt is part of
    before, after = (place(rule, X, controls).nearest[N * K :] for X in (known, spoilt))
    without = np.arange(N) % 5 == 0
    without[0] = False  # its own mean, which the centroid rule takes away, is spoilt too
    assert (before == after)[without].all()
    assert (before != after)[~without].any()


@pytest.mark.parametrize("rule", ["centroid", "discriminant"])
def test_points_that_behave_as_a_mode_land_in_it_and_few_outside(rule: Rule) -> None:
    """New points of a mode on the same prompts are called outside no more often than the nominal share."""
    found = [place(rule, points(seed), points(seed, again=1)[:, seed % K]) for seed in range(30)]
    assert np.mean([landing.outside[N * K :] for landing in found]) <= OUTSIDE_P + 0.015
    right = [landing.nearest[N * K :] == seed % K for seed, landing in enumerate(found)]
    assert np.mean(right) > (0.9 if rule == "centroid" else 0.45)  # chance is 1/3


@pytest.mark.parametrize("rule", ["centroid", "discriminant"])
def test_points_far_from_every_mode_are_outside_whichever_is_nearest(rule: Rule) -> None:
    found = place(rule, points(0), points(1)[:, 0] + 100)
    assert found.outside[N * K :].all()


def test_confusion_and_accuracy_count_the_points_of_known_mode() -> None:
    found = place("centroid", points(0, noise=2.5), points(1)[:, 0])
    nearest, outside = found.nearest[: N * K].reshape(N, K), found.outside[: N * K].reshape(N, K)
    for mode in range(K):
        inside = nearest[:, mode][~outside[:, mode]]
        expected = [*(np.bincount(inside, minlength=K) / N), outside[:, mode].mean()]
        assert found.confusion[mode] == pytest.approx(expected)
    assert 1 / K < found.balanced_accuracy < 1
    assert found.balanced_accuracy == pytest.approx((nearest == np.arange(K)).mean())


def test_of_few_prompts_none_is_called_outside() -> None:
    found = place("centroid", points(0, n=18), points(1, n=18)[:, 0] + 100)
    assert not found.outside.any()
