from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import rankdata
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.manifold import trustworthiness
from sklearn.metrics import silhouette_score
from sklearn.neighbors import NearestNeighbors

from margin.figures.linear import principal_axes
from margin.figures.projection import project, seed_range
from margin.figures.quality import QualityMeasure, seed_range_words

Make = Callable[..., tuple[np.ndarray[Any, Any], list[str], list[str]]]


def test_principal_components_explain_what_the_spectrum_says(points: Make) -> None:
    X, modes, prompts = points()
    projection = project(X, modes, prompts, "pca")
    spectrum = np.linalg.eigvalsh(np.cov(X.T))[::-1]
    assert projection.quality.explained == pytest.approx(spectrum[:2].sum() / spectrum.sum(), rel=1e-6)
    assert np.var(projection.coordinates, axis=0, ddof=1) == pytest.approx(spectrum[:2], rel=1e-6)


def test_principal_axes_are_scikit_learns_of_points_far_from_the_origin(points: Make) -> None:
    X = points(n=900)[0] + 50.0  # more rows than are multiplied at a time
    theirs = PCA(n_components=2, svd_solver="full").fit(X)
    axes, shares = principal_axes(X)
    assert np.abs(np.sum(axes.directions * theirs.components_.T, axis=0)) == pytest.approx(1)
    assert (axes.directions.max(axis=0) == np.abs(axes.directions).max(axis=0)).all()
    assert axes.mean == pytest.approx(theirs.mean_)
    assert shares == pytest.approx(theirs.explained_variance_ratio_)


@pytest.mark.parametrize("modes", [("a", "b", "c"), ("a", "a", "b")])
def test_the_silhouette_of_a_mode_with_one_point_and_of_equal_points(modes: tuple[str, ...]) -> None:
    X = np.array([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [3.0, 1.0], [1.0, 2.0]])
    names = np.array([*modes, "b", "b"])
    found = QualityMeasure(X, names, np.arange(5).astype(str))(X)
    assert found.silhouette_2d == pytest.approx(silhouette_score(X, names))


@pytest.mark.parametrize("method", ["pca", "lda", "tsne"])
def test_quality_agrees_with_independent_definitions(points: Make, method: Any) -> None:
    X, modes, prompts = points()
    projection = project(X, modes, prompts, method)
    Y, judged, labels = projection.coordinates, projection.quality, np.array(modes)
    assert judged.silhouette_full == pytest.approx(silhouette_score(X, modes))
    assert judged.silhouette_2d == pytest.approx(silhouette_score(Y, modes))
    assert judged.trustworthiness == pytest.approx(trustworthiness(X, Y, n_neighbors=15))
    assert judged.continuity == pytest.approx(trustworthiness(Y, X, n_neighbors=15))
    for space, hit in ((X, judged.hit_full), (Y, judged.hit_2d)):
        neighbours = NearestNeighbors(n_neighbors=15).fit(space).kneighbors(return_distance=False)
        assert hit == pytest.approx(
            np.mean([np.mean(labels[row] == own) for row, own in zip(neighbours, labels, strict=True)])
        )
    pairs = np.triu_indices(len(X), 1)
    lengths = [np.linalg.norm(space[pairs[0]] - space[pairs[1]], axis=1) for space in (X, Y)]
    assert judged.shepard == pytest.approx(np.corrcoef(rankdata(lengths[0]), rankdata(lengths[1]))[0, 1])
    fit = np.linalg.lstsq(np.c_[np.ones(len(Y)), Y], X, rcond=None)[0]
    residual = X - np.c_[np.ones(len(Y)), Y] @ fit
    assert judged.explained == pytest.approx(1 - np.sum(residual**2) / np.sum((X - X.mean(0)) ** 2))


def test_cross_fitted_lda_does_not_part_noise(points: Make) -> None:
    X, modes, prompts = points(n=60, d=150, effect=0.0)
    in_sample = LinearDiscriminantAnalysis().fit(X, modes).transform(X)
    assert silhouette_score(in_sample, modes) > 0.3
    assert project(X, modes, prompts, "lda").quality.silhouette_2d < 0.05


@pytest.mark.parametrize("modes", [("pos", "neg"), ("pos", "neg", "rej"), ("a", "b", "c", "d")])
def test_lda_keeps_what_does_part_the_modes(points: Make, modes: tuple[str, ...]) -> None:
    projection = project(*points(modes=modes, n=60, effect=2.0), "lda")
    assert projection.quality.hit_2d > 0.8
    assert np.isfinite(projection.coordinates).all()


def test_lda_places_a_prompt_without_having_seen_it(points: Make) -> None:
    """What one prompt's points are must not move the axes they are placed by, beyond the turn onto common
    axes."""
    X, modes, prompts = points(n=30)
    outlier = X.copy()
    outlier[:3] += 1000 * np.random.default_rng(1).normal(size=(3, X.shape[1]))
    before, after = project(X, modes, prompts, "lda"), project(outlier, modes, prompts, "lda")
    fold = np.linalg.norm(after.coordinates[:3] - before.coordinates[:3], axis=1)
    assert fold.min() > 100  # had the axes seen these points, shrinkage would have tamed them


def test_prompt_centring_takes_off_each_prompts_mean(points: Make) -> None:
    X, modes, prompts = points()
    blocks = X.reshape(-1, 3, X.shape[1])
    by_hand = PCA(2).fit_transform((blocks - blocks.mean(axis=1, keepdims=True)).reshape(X.shape))
    coordinates = project(X, modes, prompts, centre_prompts=True).coordinates
    assert np.abs(coordinates) == pytest.approx(np.abs(by_hand), abs=1e-8)


@pytest.mark.parametrize("method", ["pca", "lda"])
def test_axes_of_one_run_place_another(points: Make, method: Any) -> None:
    X, modes, prompts = points()
    first = project(X, modes, prompts, method)
    same = first.reuse(X, modes, prompts)
    moved = first.reuse(X + 5.0, modes, prompts)
    assert first.axes is not None
    shift = 5.0 * first.axes.directions.sum(axis=0)
    assert moved.coordinates - same.coordinates == pytest.approx(np.broadcast_to(shift, (len(X), 2)))
    if method == "pca":
        assert same.coordinates == pytest.approx(first.coordinates)


def test_layouts_have_no_axes_to_reuse(points: Make) -> None:
    X, modes, prompts = points(n=10)
    with pytest.raises(ValueError, match="no axes to reuse"):
        project(X, modes, prompts, "tsne").reuse(X, modes, prompts)


@pytest.mark.parametrize("method", ["pca", "lda", "tsne", "umap"])
def test_the_same_seed_gives_the_same_picture(points: Make, method: Any) -> None:
    data = points(n=25)
    assert np.array_equal(
        project(*data, method, seed=3).coordinates, project(*data, method, seed=3).coordinates
    )


def test_umap_leaves_torch_its_number_of_threads(points: Make) -> None:
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        project(*points(n=25), "umap")
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_seed_range_has_a_row_for_each_seed(points: Make) -> None:
    table = seed_range(*points(n=15), "tsne", seeds=(0, 1, 2))
    assert list(table["seed"]) == [0, 1, 2]
    assert table["silhouette_full"].nunique() == 1
    assert table["shepard"].nunique() > 1


def test_the_range_over_seeds_of_many_points_rests_on_whole_prompts_and_is_written(points: Make) -> None:
    X, modes, prompts = points(n=40)
    table = seed_range(X, modes, prompts, "tsne", seeds=(0, 1), limit=50)
    assert set(table["n_points"]) == {48}
    words = seed_range_words(table)
    assert "layouts of 48 of the points, 2 seeds: silhouette" in words
    low, high = (f"{end:.2f}" for end in table["trustworthiness"].agg(["min", "max"]))
    assert f"trustworthiness {low}–{high}" in words
    whole = seed_range(X, modes, prompts, "tsne", seeds=(0, 1))
    assert "over 2 seeds: silhouette" in seed_range_words(whole)


def test_many_points_are_judged_on_a_stated_sample_of_whole_prompts(points: Make) -> None:
    X, modes, prompts = points(n=700, d=6)
    judged = project(X, modes, prompts).quality
    assert judged.sampled
    assert judged.n_points == 1500
    assert "1,500 sampled points" in str(judged)
    assert judged.silhouette_full == pytest.approx(silhouette_score(X, modes), abs=0.02)


def test_a_known_silhouette_is_taken_as_given(points: Make) -> None:
    assert project(*points(), silhouette=0.123).quality.silhouette_full == 0.123


def test_one_mode_is_drawn_and_its_silhouette_called_undefined(points: Make) -> None:
    X, modes, prompts = points(modes=("pos",))
    assert "silhouette: undefined" in str(project(X, modes, prompts).quality)


def test_identical_modes_give_an_honest_picture(points: Make) -> None:
    X, modes, prompts = points(n=20)
    X = np.repeat(X[::3], 3, axis=0)
    for method in ("pca", "lda"):
        assert project(X, modes, prompts, method).quality.silhouette_2d < 0.05
    with pytest.raises(ValueError, match="within each prompt all points are the same"):
        project(X, modes, prompts, centre_prompts=True)


@pytest.mark.parametrize("n", [0, 1, 2])
@pytest.mark.parametrize("method", ["pca", "lda", "tsne", "umap"])
def test_very_few_prompts_are_drawn_or_refused_in_one_line(points: Make, n: int, method: Any) -> None:
    X, modes, prompts = points(n=n)
    if method == "pca" and n > 0:
        assert np.isfinite(project(X, modes, prompts, method).coordinates).all()
    else:
        with pytest.raises(ValueError, match=r"^[^\n]*at least[^\n]*$"):
            project(X, modes, prompts, method)


def test_bad_points_are_named(points: Make) -> None:
    X, modes, prompts = points(n=5)
    with pytest.raises(ValueError, match="all points are the same"):
        project(np.ones_like(X), modes, prompts)
    with pytest.raises(ValueError, match="15 points, but 14 modes"):
        project(X, modes[1:], prompts)
    with pytest.raises(ValueError, match="differ within a mode"):
        project(np.tile(np.eye(3), (5, 1)), modes, prompts, "lda")
    with pytest.raises(ValueError, match="unknown"):
        project(X, modes, prompts, "isomap")  # type: ignore[arg-type]
    X[4, 0] = np.nan
    with pytest.raises(ValueError, match="row 4"):
        project(X, modes, prompts)
