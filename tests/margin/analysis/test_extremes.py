"""Prompts that lie far out are noticed where intervals suffer from them, and not in data without any."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from margin.analysis.extremes import FAR, relative_distances
from margin.analysis.metrics import Distance
from margin.analysis.space import Coordinates
from margin.stats.design import Design, make_design
from margin.study.sections.extremes import Extremes
from tests.margin.silhouette_oracle import Array

MODES = ("pos", "neg", "rej")
DRAWS = 200


def points(rng: np.random.Generator, n: int, d: int) -> Array:
    """(n, k, d) prompts that differ, each with noise of its own under every mode."""
    modes = np.zeros((len(MODES), d))
    modes[range(len(MODES)), range(len(MODES))] = 1.2
    return rng.standard_normal((n, 1, d)) + 0.7 * rng.standard_normal((n, len(MODES), d)) + modes


def design_of(X: Array) -> Design:
    return make_design(np.tile(MODES, len(X)), np.repeat(np.arange(len(X)), len(MODES)))


def found(X: Array, distance: Distance) -> Array:
    design = design_of(X)
    return relative_distances(Coordinates(X.reshape(-1, X.shape[-1])).distances(distance), design)


def share_of_alarms(n: int, d: int, distance: Distance, seed: int = 0) -> float:
    rng = np.random.default_rng([seed, n, d])
    return float(np.mean([found(points(rng, n, d), distance).max() > FAR for _ in range(DRAWS)]))


@pytest.mark.parametrize("distance", ["cosine", "sqeuclidean"])
@pytest.mark.parametrize(("n", "d"), [(20, 3), (120, 3), (60, 8), (300, 32)])
def test_of_normal_prompts_at_most_one_run_in_a_hundred_is_warned_of(
    n: int, d: int, distance: Distance
) -> None:
    assert share_of_alarms(n, d, distance) <= 0.01


def test_the_distance_is_that_to_the_modes_mean() -> None:
    X = points(np.random.default_rng(1), 12, 5)
    far = np.array([[cdist([x], [mean])[0, 0] for x, mean in zip(p, X.mean(axis=0), strict=True)] for p in X])
    of_prompt = np.sqrt(np.mean(far**2, axis=1))
    assert found(X, "sqeuclidean") == pytest.approx(of_prompt / np.median(of_prompt))


@pytest.mark.parametrize(("n", "share"), [(30, 0.05), (60, 0.03), (300, 0.03)])
def test_prompts_thirty_times_as_far_out_are_noticed_by_name(n: int, share: float) -> None:
    """The setting in which Euclidean intervals cover .73 to .85; cosine distance has nothing to say."""
    rng = np.random.default_rng(2)
    for _ in range(20):
        X = points(rng, n, 16)
        outlying = rng.permutation(n)[: max(1, int(share * n))]
        X[outlying] *= 30
        assert set(np.flatnonzero(found(X, "sqeuclidean") > FAR)) == set(outlying)
        assert found(X, "cosine").max() <= FAR


def test_points_near_the_origin_are_noticed_under_cosine() -> None:
    """One direction that all points share, of which a few have next to nothing."""
    rng = np.random.default_rng(3)
    for _ in range(20):
        X = points(rng, 60, 16)
        X[..., -1] += 40
        assert found(X, "cosine").max() <= FAR
        X[7, :, -1] -= 38
        assert np.flatnonzero(found(X, "cosine") > FAR).tolist() == [7]


def test_prompts_that_do_not_differ_lie_nowhere_far() -> None:
    X = np.tile(points(np.random.default_rng(4), 1, 4), (20, 1, 1))
    assert (found(X, "sqeuclidean") == 1).all()


def test_the_report_warns_with_the_number_and_what_to_read() -> None:
    section = Extremes({"cosine": np.ones(40), "euclidean": np.array([1.0] * 38 + [31.0, 3.5])})
    (fact,) = section.facts()
    assert fact.alarm
    assert str(fact).startswith("2 prompts lie up to 31.0 times as far out")
    assert "read the cosine margin" in str(fact)
    assert [(one.distance, one.prompts) for one in section.record().extremes] == [
        ("cosine", 0),
        ("euclidean", 2),
    ]
    (lines,) = section.tables()
    assert len(lines.rows) == 1
    assert not list(Extremes({"cosine": np.ones(9), "euclidean": np.ones(9)}).facts())
