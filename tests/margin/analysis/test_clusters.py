"""Prompts that hang together: every number over clusters, against definitions and against simulation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from margin import sam, silhouette_samples
from margin.analysis.comparison import compare
from margin.analysis.influence import SilhouetteMean, influence
from margin.analysis.layers import layer_curve
from margin.analysis.margins import margins
from margin.analysis.metrics import Distance
from margin.analysis.permutation import permutation_null
from margin.analysis.separation.angle import centroid_angle
from margin.analysis.separation.energy import energy_distance
from margin.analysis.separation.held_out import nearest_centroid_accuracy
from margin.analysis.separation.table import separation
from margin.analysis.separation.variance import variance_split
from margin.analysis.silhouette import mode_sums, silhouette
from margin.analysis.slice_differences import slice_differences
from margin.analysis.slices import slice_margins
from margin.analysis.space import Coordinates, Gram
from margin.analysis.within import Within
from margin.errors import MarginError
from margin.probes import grouped_folds, make_rows, probe_layer
from margin.stats.clusters import make_clusters
from margin.stats.design import Design, make_design
from margin.stats.folds import prompt_folds
from margin.stats.intervals import upper_bound
from tests.intervals import holds
from tests.margin.analysis.separation.separation_data import design_of, paired
from tests.margin.silhouette_oracle import DISTANCES, Array, labels, paired_points, pairwise, samples


def clustered(n: int, k: int, of_prompt: Array) -> Design:
    return design_of(n, k).clustered(pd.Series(of_prompt, [f"p{i:04d}" for i in range(n)]))


@pytest.mark.parametrize("missing", [0.0, 0.4], ids=["complete", "incomplete"])
@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("kind", [Coordinates, Gram])
def test_silhouettes_leave_the_whole_cluster_out(kind: type, distance: Distance, missing: float) -> None:
    rng = np.random.default_rng(0)
    mode, prompt = labels(12, 3, rng, missing)
    X = paired_points(rng, mode, prompt)
    cluster = (prompt // 3)[:]
    design = make_design(mode, prompt, cluster)
    space = Coordinates(X) if kind is Coordinates else Gram(X @ X.T)
    sums = mode_sums(space.distances(distance), design)
    found = silhouette(sums.leave_prompt_out().mean, design.mode).samples
    np.testing.assert_allclose(found, samples(pairwise(X, distance), mode, cluster), atol=1e-9)


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_influence_is_the_derivative_by_each_prompts_weight(distance: Distance) -> None:
    rng = np.random.default_rng(1)
    mode, prompt = labels(9, 3, rng, missing=0.3)
    X = paired_points(rng, mode, prompt)
    design = make_design(mode, prompt, prompt // 2)
    distances = Coordinates(X).distances(distance)
    sums = mode_sums(distances, design)
    part = SilhouetteMean(silhouette(sums.leave_prompt_out().mean, design.mode), np.ones(len(X)))
    found = influence(distances, sums, [part])[:, 0]
    D, order = pairwise(X, distance), design.prompt

    def margin(weight_of_prompt: Array) -> float:
        weight = weight_of_prompt[order]
        return float(np.average(samples(D, mode, prompt // 2, weight), weights=weight))

    step = 1e-5 * np.eye(design.n_prompts)
    expected = [(margin(1 + e) - margin(1 - e)) / 2e-5 for e in step]
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_clusters_of_one_prompt_change_nothing() -> None:
    space, plain, alone = Coordinates(paired(np.random.default_rng(2), 40)), *both(40)
    a, b = (margins(space, design).to_frame() for design in (plain, alone))
    pd.testing.assert_frame_equal(a.drop(columns="n_clusters", errors="ignore"), b.drop(columns="n_clusters"))
    a, b = (
        separation(space, design, rng=np.random.default_rng(0), optional=True) for design in (plain, alone)
    )
    same = ~a["measure"].isin(FOLDED)  # folds are dealt in another order
    np.testing.assert_allclose(a["estimate"][same], b["estimate"][same], rtol=1e-9)
    for column in ("low", "high"):
        np.testing.assert_allclose(a[column][same], b[column][same], rtol=0.02)


def both(n: int) -> tuple[Design, Design]:
    return design_of(n, 3), clustered(n, 3, np.arange(n))


FOLDED = ("probe_accuracy", "probe_auc", "d_prime", "nearest_centroid_accuracy", "centroid_angle")


def test_prompts_entered_thrice_count_once() -> None:
    rng = np.random.default_rng(3)
    X = paired(rng, 60, strength=0.4).reshape(60, 3, -1)
    once = sam(X.reshape(180, -1), np.tile(list("abc"), 60), np.repeat(np.arange(60), 3))
    thrice = np.repeat(X, 3, axis=0).reshape(540, -1)
    modes, prompts = np.tile(list("abc"), 180), np.repeat(np.arange(180), 3)
    naive = sam(thrice, modes, prompts)
    honest = sam(thrice, modes, prompts, clusters=prompts // 3)
    assert naive.se is not None
    assert honest.se is not None
    assert once.se is not None
    assert naive.se < 0.7 * once.se
    assert honest.estimate == pytest.approx(once.estimate, abs=1e-9)
    assert honest.se == pytest.approx(once.se, rel=1e-6)
    assert (honest.n_prompts, honest.n_clusters) == (180, 60)


def test_u_statistics_are_over_pairs_of_different_clusters() -> None:
    rng = np.random.default_rng(4)
    n, k = 11, 3
    of_prompt = np.array([0, 0, 0, 1, 1, 2, 3, 3, 3, 3, 4])
    X = paired(rng, n, k)
    design = clustered(n, k, of_prompt)
    Z = X.reshape(n, k, -1)
    pairs = [(p, q) for p in range(n) for q in range(n) if of_prompt[p] != of_prompt[q]]
    d = np.linalg.norm(Z[:, :, None, None] - Z[None, None], axis=-1)  # p, c, q, e
    contrast = [
        np.mean(
            [2 * d[p, a, q, b] - d[p, a, q, a] - d[p, b, q, b] for a in range(k) for b in range(k) if a != b]
        )
        for p, q in pairs
    ]
    found = energy_distance(Coordinates(X).distances("euclidean"), design)
    assert found.estimate == pytest.approx(np.mean(contrast), abs=1e-9)

    shift = Z - Z.mean(axis=1, keepdims=True)
    mean = Z.mean(axis=1)
    of_mode = np.mean([np.sum(shift[p] * shift[q]) for p, q in pairs])
    of_prompt_effect = np.mean([k * np.sum((mean[p] - mean[q]) ** 2) / 2 for p, q in pairs])
    within = np.mean(np.sum(shift**2, axis=(1, 2)))
    total = of_prompt_effect + within
    split = variance_split(Coordinates(X).distances("sqeuclidean"), design)
    assert split.partial_epsilon2.estimate == pytest.approx(of_mode / within, abs=1e-9)
    assert split.mode.estimate == pytest.approx(of_mode / total, abs=1e-9)
    assert split.prompt.estimate == pytest.approx(of_prompt_effect / total, abs=1e-9)

    inner = np.mean([Z[p] @ Z[q].T for p, q in pairs], axis=0)
    length = np.sqrt(np.diag(inner))
    cosines = [inner[a, b] / length[a] / length[b] for a in range(k) for b in range(a)]
    expected = np.degrees(np.arccos(np.mean(cosines)))
    assert centroid_angle(X, design).estimate == pytest.approx(expected, abs=1e-9)


def test_folds_never_part_a_cluster() -> None:
    of_prompt = np.arange(60) // 4
    design = clustered(60, 3, of_prompt)
    fold = prompt_folds(design, np.random.default_rng(0))
    assert len({(c, f) for c, f in zip(of_prompt, fold, strict=True)}) == 15
    rows = make_rows(np.tile(list("abc"), 60), np.repeat(np.arange(60), 3), np.repeat(of_prompt, 3))
    grouped = grouped_folds(rows)
    assert len({(c, f) for c, f in zip(np.repeat(of_prompt, 3), grouped, strict=True)}) == 15
    found = probe_layer(0, paired(np.random.default_rng(1), 60), rows, grouped)
    assert (found.accuracy.n_prompts, found.accuracy.n_clusters) == (60, 15)


@pytest.mark.parametrize("distance", ["cosine", "euclidean", "sqeuclidean"])
@pytest.mark.parametrize("kept", [0, 10**6])
def test_products_within_clusters_are_those_of_the_whole_matrix(
    distance: Distance, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clusters of one to nine prompts, whether their distances are kept or worked out again."""
    monkeypatch.setattr("margin.analysis.within.KEPT", kept)
    rng = np.random.default_rng(21)
    of_prompt = np.repeat(np.arange(9), np.arange(1, 10))
    rng.shuffle(of_prompt)
    X, design = paired(rng, 45), clustered(45, 3, of_prompt)
    keep = np.sort(rng.permutation(135)[:120])  # some prompts lack a mode
    X, design = X[keep], design.subset(keep)
    distances, M = Coordinates(X).distances(distance), rng.standard_normal((120, 4))
    same = design.unit[design.prompt][:, None] == design.unit[design.prompt]
    D = distances.matmul(np.eye(120)) * (same & ~np.eye(120, dtype=bool))
    within = Within(distances, design)
    for _ in range(2):
        assert within.matmul(M) == pytest.approx(D @ M, abs=1e-9)


def test_a_cluster_is_relabelled_as_one() -> None:
    """Prompts of a cluster share the noise of their modes: by prompt the null is far too narrow."""
    rng, below = np.random.default_rng(5), {"prompt": 0, "cluster": 0}
    for _ in range(60):
        shared = rng.standard_normal((12, 3, 8))
        X = (np.repeat(shared, 5, axis=0) + 0.5 * rng.standard_normal((60, 3, 8))).reshape(180, 8)
        for name, design in (("prompt", design_of(60, 3)), ("cluster", clustered(60, 3, np.arange(60) // 5))):
            found = permutation_null(Coordinates(X).distances("cosine"), design, rng, 99)
            below[name] += found.p_value <= 0.05
    assert below["prompt"] > 30
    assert below["cluster"] <= 9  # 60 draws of .05, three standard errors above


def test_bounds_on_rates_know_of_clusters() -> None:
    hits = np.zeros(300, dtype=bool)
    over = make_clusters(np.arange(300) // 10)
    assert upper_bound(hits).high == pytest.approx(0.0099, abs=1e-4)
    assert upper_bound(hits, over=over).high == pytest.approx(1 - 0.05 ** (1 / 30), abs=1e-9)


def test_a_slice_is_ranked_by_its_clusters() -> None:
    design = clustered(60, 3, np.arange(60) // 4)
    column = pd.Series(["a", "b"] * 30, design.prompt_ids, name="topic")
    found = slice_margins(
        Coordinates(paired(np.random.default_rng(6), 60)), design, column, np.random.default_rng(0)
    )
    assert [margin.n_clusters for margin in found.margins] == [15, 15]
    assert all(margin.low is None for margin in found.margins)


def test_a_slice_of_single_prompts_and_one_large_cluster_is_not_ranked() -> None:
    """Its interval over 31 clusters would hold at .95 in some 70 of 100 runs."""
    of_prompt = np.concatenate([np.zeros(30), 1 + np.arange(30), 100 + np.arange(60)])
    design = clustered(120, 3, of_prompt)
    column = pd.Series(["uneven"] * 60 + ["even"] * 60, design.prompt_ids, name="topic")
    found = slice_margins(
        Coordinates(paired(np.random.default_rng(6), 120)), design, column, np.random.default_rng(0)
    )
    assert [margin.n_clusters for margin in found.margins] == [31, 60]
    assert [margin.low is None for margin in found.margins] == [True, False]
    assert found.worst == "even"
    assert slice_differences(found, np.random.default_rng(0)) == {}


def test_one_cluster_is_refused_with_a_reason() -> None:
    X = paired(np.random.default_rng(7), 6)
    modes, prompts = np.tile(list("abc"), 6), np.repeat(np.arange(6), 3)
    with pytest.raises(MarginError, match="one cluster"):
        sam(X, modes, prompts, clusters=["x"] * 18)
    with pytest.raises(MarginError, match="two clusters"):
        make_design(modes, prompts, np.arange(18))
    with pytest.raises(MarginError, match="17 clusters"):
        make_design(modes, prompts, np.arange(17))


def nested(
    rng: np.random.Generator, clusters: int, size: int, correlation: float, strength: float, d: int = 32
) -> tuple[Array, Design]:
    """Prompts in clusters that share a part of their own effect and of how they take the modes up."""
    n, k = clusters * size, 3
    effects = strength * np.random.default_rng(9).standard_normal((k, d)) / np.sqrt(d)
    share, rest = np.sqrt(correlation), np.sqrt(1 - correlation)

    def mixed(shape: tuple[int, ...]) -> Array:
        of_cluster = np.repeat(rng.standard_normal((clusters, *shape)), size, axis=0)
        found: Array = share * of_cluster + rest * rng.standard_normal((n, *shape))
        return found

    X = 1 + mixed((d,))[:, None] + effects + 0.6 * mixed((k, d)) + 0.3 * rng.standard_normal((n, k, d))
    return X.reshape(n * k, d), clustered(n, k, np.arange(n) // size)


def test_nearest_centroids_cover_over_clusters_where_modes_do_not_differ() -> None:
    """Noise directs the centroids, and folds repeat it. 300 runs: Monte Carlo error .0126, three allowed."""
    covered = 0
    for run in range(300):
        X, design = nested(np.random.default_rng([14, run]), 20, 6, correlation=0.5, strength=0)
        fold = prompt_folds(design, np.random.default_rng(run))
        found = nearest_centroid_accuracy(Coordinates(X).distances("sqeuclidean"), design, fold)
        covered += holds(found, 1 / 3)
    assert covered / 300 >= 0.95 - 3 * 0.0126


def test_differences_and_bands_are_over_clusters() -> None:
    X, design = nested(np.random.default_rng(11), 20, 5, 0.7, 1.0)
    Y = X + 0.1 * np.random.default_rng(12).standard_normal(X.shape)
    runs = {"a": (Coordinates(X), design), "b": (Coordinates(Y), design)}
    found = compare(runs, np.random.default_rng(0))
    assert {(d.difference.n_clusters, d.simultaneous.n_clusters) for d in found.differences} == {(20, 20)}
    curve = layer_curve([(0, Coordinates(X)), (1, Coordinates(Y))], design, np.random.default_rng(0))
    assert {e.n_clusters for e in (*curve.leave_prompt_out, *curve.separation)} == {20}


def test_silhouette_samples_stay_by_prompt() -> None:
    X = paired(np.random.default_rng(13), 5)
    found = silhouette_samples(X, np.tile(list("abc"), 5), np.repeat(np.arange(5), 3))
    assert found.shape == (15,)
