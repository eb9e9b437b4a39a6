"""Pictures of large runs show a sample of whole prompts, and say so."""

from __future__ import annotations

import numpy as np
import pytest

import margin
from margin import figures
from margin.study.sections.points import Points
from margin.study.study import PointStudy

PROMPTS, MODES = 40, ["neg", "pos"]


@pytest.fixture(scope="module")
def study() -> PointStudy:
    """Points of 40 prompts under two modes."""
    X = np.random.default_rng(0).normal(size=(2 * PROMPTS, 6))
    return margin.analyse_arrays(X, MODES * PROMPTS, np.repeat(np.arange(PROMPTS), 2)).study


def test_a_sample_is_of_whole_prompts_and_named(study: PointStudy) -> None:
    points = study.section(Points)
    assert points is not None
    for projection in points.projected(study, "pca", most=30):
        assert projection.drawn_of == 2 * PROMPTS
        names, counts = np.unique(projection.prompts, return_counts=True)
        assert len(names) == 15
        assert set(counts) == {2}
        ax = figures.draw_projection(projection, figures.figure().add_subplot())
        assert "30 of 80 points drawn" in ax.get_xlabel()


def test_a_picture_of_all_points_names_no_sample(study: PointStudy) -> None:
    points = study.section(Points)
    assert points is not None
    for projection in points.projections(study, "pca"):
        assert len(projection.modes) == 2 * PROMPTS
        ax = figures.draw_projection(projection, figures.figure().add_subplot())
        assert "points drawn" not in ax.get_xlabel()


def test_the_sample_is_the_same_each_time(study: PointStudy) -> None:
    points = study.section(Points)
    assert points is not None
    first, again = (points.projected(study, "pca", most=20)[0] for _ in range(2))
    np.testing.assert_array_equal(first.coordinates, again.coordinates)
