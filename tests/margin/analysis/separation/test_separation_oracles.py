"""Every measure against SciPy, scikit-learn or its definition written out, in float64."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.spatial.distance import cdist, jensenshannon
from sklearn.covariance import LedoitWolf
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score, roc_auc_score

from margin.analysis.distances import Distances
from margin.analysis.metrics import Distance
from margin.analysis.separation.angle import centroid_angle
from margin.analysis.separation.aqi import alignment_quality
from margin.analysis.separation.cka import debiased_cka
from margin.analysis.separation.d_prime import d_prime
from margin.analysis.separation.davies_bouldin import davies_bouldin, davies_bouldin_p_value
from margin.analysis.separation.energy import energy_distance
from margin.analysis.separation.held_out import nearest_centroid_accuracy
from margin.analysis.separation.mmd import kernel_distances, mmd2
from margin.analysis.separation.paired import mean_estimate
from margin.analysis.separation.probe import discriminant_scores, probe
from margin.analysis.separation.ratio import paired_distance_ratio
from margin.analysis.separation.relabelling import relabelling_p_value
from margin.analysis.separation.second_order import TAKEN, contrast_residual
from margin.analysis.separation.tokens import TokenTables, mutual_information, token_distances
from margin.analysis.separation.variance import VarianceSplit, variance_split
from margin.analysis.space import Coordinates, Gram
from margin.stats.design import Design, make_design
from margin.stats.estimate import Estimate
from margin.stats.folds import prompt_folds
from margin.stats.intervals import proportion
from tests.intervals import lower, upper
from tests.margin.analysis.separation.separation_data import Array, by_prompt, design_of, paired

CLOSE: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-9}
SHAPES = [(2, 2, 3), (7, 2, 1), (12, 3, 5), (9, 4, 30)]


def squared(X: Array) -> Distances:
    return Coordinates(X).distances("sqeuclidean")


def euclidean(X: Array) -> Distances:
    return Coordinates(X).distances("euclidean")


@pytest.fixture(params=SHAPES, ids=str)
def data(request: pytest.FixtureRequest) -> tuple[Array, Design]:
    n, k, d = request.param
    return paired(np.random.default_rng(n), n, k, d), design_of(n, k)


def unequal(rng: np.random.Generator) -> tuple[Array, Design]:
    """Modes of different sizes: points without some of their counterparts."""
    X, full = paired(rng, 30, 3), design_of(30, 3)
    keep = rng.random(90) < np.array([1, 0.6, 0.3])[full.mode]
    return X[keep], full.subset(keep)


def delete_one(statistic: Callable[[Array], float], Z: Array) -> float:
    """Delete-one-prompt jackknife standard error of a statistic of (n, k, d) points."""
    n = len(Z)
    values = np.array([statistic(np.delete(Z, p, axis=0)) for p in range(n)])
    return float(np.sqrt((n - 1) / n * np.sum((values - values.mean()) ** 2)))


def test_variance_split_is_the_two_way_analysis_of_variance(data: tuple[Array, Design]) -> None:
    X, design = data
    Z = by_prompt(X, design)
    n, k, _ = Z.shape
    grand, of_prompt, of_mode = Z.mean((0, 1)), Z.mean(1), Z.mean(0)
    ss_prompt = k * np.sum((of_prompt - grand) ** 2)
    ss_mode = n * np.sum((of_mode - grand) ** 2)
    ss_rest = np.sum((Z - of_prompt[:, None] - of_mode + grand) ** 2)
    np.testing.assert_allclose(ss_prompt + ss_mode + ss_rest, np.sum((Z - grand) ** 2), **CLOSE)
    split = variance_split(squared(X), design)
    parts = np.array([ss_prompt, ss_mode - ss_rest / (n - 1), ss_rest]) / (n - 1)
    parts[1] *= (n - 1) / n
    found = [split.prompt.estimate, split.mode.estimate, split.interaction.estimate]
    np.testing.assert_allclose(found, parts / parts.sum(), **CLOSE)
    np.testing.assert_allclose(split.partial_eta2.estimate, ss_mode / (ss_mode + ss_rest), **CLOSE)
    mean_square = ss_rest / (n - 1) / (k - 1)
    epsilon2 = (ss_mode - (k - 1) * mean_square) / (ss_mode + ss_rest)
    np.testing.assert_allclose(split.partial_epsilon2.estimate, epsilon2, **CLOSE)


@pytest.mark.parametrize(("n", "closeness"), [(20, 0.06), (200, 0.02)])
def test_variance_intervals_follow_the_delete_one_jackknife(n: int, closeness: float) -> None:
    X, design = paired(np.random.default_rng(0), n), design_of(n, 3)

    def split_of(Z: Array) -> VarianceSplit:
        return variance_split(squared(Z.reshape(-1, Z.shape[2])), design_of(len(Z), 3))

    for part in ("prompt", "mode", "interaction", "partial_epsilon2"):

        def value(Z: Array, part: str = part) -> float:
            return float(getattr(split_of(Z), part).estimate)

        expected = delete_one(value, by_prompt(X, design))
        assert getattr(split_of(by_prompt(X, design)), part).se == pytest.approx(expected, rel=closeness)


def energy_by_definition(Z: Array) -> float:
    n, k, _ = Z.shape
    different = ~np.eye(n, dtype=bool)
    mean = np.array([[cdist(Z[:, a], Z[:, b])[different].mean() for b in range(k)] for a in range(k)])
    return float(np.mean([2 * mean[a, b] - mean[a, a] - mean[b, b] for a, b in combinations(range(k), 2)]))


def test_energy_distance_is_its_definition_over_different_prompts(data: tuple[Array, Design]) -> None:
    X, design = data
    found = energy_distance(euclidean(X), design)
    np.testing.assert_allclose(found.estimate, energy_by_definition(by_prompt(X, design)), **CLOSE)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_energy_interval_is_the_delete_one_jackknife_less_half_of_what_it_counts_twice(k: int) -> None:
    X, design = paired(np.random.default_rng(1), 12, k, strength=2), design_of(12, k)
    residual = contrast_residual(euclidean(X), design) * (2 / (k - 1)) ** 2
    jackknife = delete_one(energy_by_definition, by_prompt(X, design)) ** 2
    expected = np.sqrt(jackknife - TAKEN * 2 * residual / (11 * 10))
    assert expected**2 > jackknife / 2  # where the interval stops
    assert energy_distance(euclidean(X), design).se == pytest.approx(expected, rel=1e-9)
    assert energy_distance(euclidean(X[:6]), design_of(2, 3)).low is None


def test_energy_distance_agrees_with_scipy_in_one_dimension() -> None:
    n = 25
    X, design = paired(np.random.default_rng(2), n, 2, 1), design_of(n, 2)
    a, b = by_prompt(X, design)[:, :, 0].T
    # SciPy averages over all pairs: those within a prompt, a point and itself among them, are put back here.
    with_own = (n - 1) / n * energy_distance(euclidean(X), design).estimate + 2 * np.abs(a - b).mean() / n
    assert np.sqrt(with_own) == pytest.approx(stats.energy_distance(a, b), rel=1e-9)


def test_mmd2_is_its_definition() -> None:
    X, design = paired(np.random.default_rng(3), 15, 2), design_of(15, 2)
    Z = by_prompt(X, design)
    D = cdist(X, X, "sqeuclidean")
    width = np.median(D[np.triu_indices(30, 1)])
    different = ~np.eye(15, dtype=bool)

    def kernel(A: Array, B: Array) -> float:
        return float(np.exp(-cdist(A, B, "sqeuclidean") / width)[different].mean())

    expected = kernel(Z[:, 0], Z[:, 0]) + kernel(Z[:, 1], Z[:, 1]) - 2 * kernel(Z[:, 0], Z[:, 1])
    assert mmd2(kernel_distances(squared(X)), design).estimate == pytest.approx(expected, rel=1e-9)


def test_paired_distance_ratio_is_its_definition(data: tuple[Array, Design]) -> None:
    X, design = data
    Z = by_prompt(X, design)
    n, k, _ = Z.shape
    pairs = combinations(range(k), 2)
    paired_mean = np.mean([np.linalg.norm(Z[:, a] - Z[:, b], axis=1).mean() for a, b in pairs])
    across = np.mean([cdist(Z[:, c], Z[:, c])[~np.eye(n, dtype=bool)].mean() for c in range(k)])
    found = paired_distance_ratio(euclidean(X), design).estimate
    np.testing.assert_allclose(found, paired_mean / across, **CLOSE)


def test_ratio_and_angle_intervals_follow_the_delete_one_jackknife() -> None:
    X, design = paired(np.random.default_rng(4), 150), design_of(150, 3)

    def ratio(Z: Array) -> float:
        return paired_distance_ratio(euclidean(Z.reshape(-1, 6)), design_of(len(Z), 3)).estimate

    def cosine(Z: Array) -> float:
        return float(np.cos(np.radians(centroid_angle(Z.reshape(-1, 6), design_of(len(Z), 3)).estimate)))

    expected = delete_one(ratio, by_prompt(X, design))
    assert paired_distance_ratio(euclidean(X), design).se == pytest.approx(expected, rel=0.03)
    angle = centroid_angle(X, design)
    ends = np.cos(np.radians([lower(angle), upper(angle)]))
    half = stats.t.ppf(0.975, 149) * delete_one(cosine, by_prompt(X, design))
    np.testing.assert_allclose((ends[0] - ends[1]) / 2, half, rtol=0.03)


def test_influences_on_the_angle_are_what_leaving_a_prompt_out_changes() -> None:
    X, design = paired(np.random.default_rng(4), 150), design_of(150, 3)
    Z, angle = by_prompt(X, design), centroid_angle(X, design)
    without = [
        centroid_angle(np.delete(Z, p, axis=0).reshape(-1, 6), design_of(149, 3)).estimate for p in range(150)
    ]
    assert angle.influence is not None
    expected = (angle.estimate - np.array(without)) * 149 / 150
    np.testing.assert_allclose(angle.influence, expected, atol=0.03 * np.abs(expected).max())


def test_an_angle_of_0_within_its_noise_has_no_influences() -> None:
    rng, design = np.random.default_rng(0), design_of(30, 3)
    X = np.repeat(3 + rng.standard_normal((30, 6)), 3, axis=0)  # the modes are one and the same
    found = centroid_angle(X, design)
    assert found.estimate == pytest.approx(0, abs=1e-4)
    assert found.influence is None or np.isfinite(found.influence).all()


def test_centroid_angle_takes_inner_products_between_different_prompts(data: tuple[Array, Design]) -> None:
    X, design = data
    Z = by_prompt(X, design)
    n, k, _ = Z.shape
    different = ~np.eye(n, dtype=bool)
    inner = np.array([[(Z[:, a] @ Z[:, b].T)[different].mean() for b in range(k)] for a in range(k)])
    cosine = np.mean([inner[a, b] / np.sqrt(inner[a, a] * inner[b, b]) for a, b in combinations(range(k), 2)])
    expected = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    assert centroid_angle(X, design).estimate == pytest.approx(expected, rel=1e-7, abs=1e-6)


def test_davies_bouldin_and_calinski_harabasz_agree_with_scikit_learn(data: tuple[Array, Design]) -> None:
    for X, design in (data, unequal(np.random.default_rng(5))):
        found = davies_bouldin(squared(X), design)
        np.testing.assert_allclose(found.estimate, davies_bouldin_score(X, design.mode), **CLOSE)
        parts = alignment_quality(squared(X), design)
        expected = calinski_harabasz_score(X, design.mode)
        np.testing.assert_allclose(parts.calinski_harabasz.estimate, expected, **CLOSE)
        centres = np.array([X[design.mode == c].mean(0) for c in range(design.n_modes)])
        gap = cdist(centres, centres, "sqeuclidean")[~np.eye(len(centres), dtype=bool)].min()
        xie_beni = np.mean(np.sum((X - centres[design.mode]) ** 2, axis=1)) / gap
        np.testing.assert_allclose(parts.xie_beni.estimate, xie_beni, **CLOSE)
        composite = (1 / (1 + xie_beni) + expected / (1 + expected)) / 2
        np.testing.assert_allclose(parts.composite.estimate, composite, **CLOSE)


def test_debiased_cka_is_the_unbiased_hsic_of_inner_products() -> None:
    X, design = paired(np.random.default_rng(6), 20, 2), design_of(20, 2)
    n = 20

    def hsic(K: Array, L: Array) -> float:
        """Song et al. (2012), eq. 5."""
        K, L = K - np.diag(np.diag(K)), L - np.diag(np.diag(L))
        found: float = (
            np.trace(K @ L)
            + K.sum() * L.sum() / ((n - 1) * (n - 2))
            - 2 * np.sum(K.sum(0) * L.sum(0)) / (n - 2)
        ) / (n * (n - 3))
        return found

    K, L = (A @ A.T for A in by_prompt(X, design).transpose(1, 0, 2))
    expected = hsic(K, L) / np.sqrt(hsic(K, K) * hsic(L, L))
    assert debiased_cka(squared(X), design).estimate == pytest.approx(expected, rel=1e-9)


def test_nearest_centroid_uses_the_centroids_of_other_folds() -> None:
    X, design = paired(np.random.default_rng(7), 23), design_of(23, 3)
    fold = prompt_folds(design, np.random.default_rng(0))
    Z, right, held_out = by_prompt(X, design), [], []
    for p in range(23):
        centres = Z[fold != fold[p]].mean(0)
        right.append((cdist(Z[p], centres).argmin(1) == np.arange(3)).mean())
        away = cdist(Z[p], centres) ** 2
        held_out.append(away.sum() - 3 * np.trace(away))
    found = nearest_centroid_accuracy(squared(X), design, fold)
    assert found.estimate == pytest.approx(np.mean(right), abs=1e-12)
    # How far apart centroids lie holds noise of the prompts they are made of; held-out prompts show how much,
    # and the folds repeat it.
    fitted = [cdist(m, m).ravel() ** 2 for m in (Z[fold != f].mean(0) for f in np.unique(fold))]
    noise = 1 - np.mean(held_out) / np.mean([each.sum() for each in fitted])
    assert 0 < noise < 1
    assert found.se == pytest.approx(stats.sem(right) * np.sqrt(1 + 2 / np.pi * noise), rel=1e-6)


def d_prime_by_definition(Z: Array, fold: Array, weight: Array) -> float:
    """d' under prompt weights (n,), for derivatives."""
    n, k, _ = Z.shape
    values = []
    for a, b in combinations(range(k), 2):
        y = np.empty((n, 2))
        for f in np.unique(fold):
            inside = fold == f
            centres = np.average(Z[~inside], axis=0, weights=weight[~inside])
            line = centres[a] - centres[b]
            y[inside] = (Z[inside][:, [a, b]] - (centres[a] + centres[b]) / 2) @ line / np.linalg.norm(line)
        mean = np.average(y, axis=0, weights=weight)
        variance = np.average(np.mean((y - mean) ** 2, axis=1), weights=weight) * n / (n - 1)
        values.append((mean[0] - mean[1]) / np.sqrt(variance))
    return float(np.mean(values))


def test_d_prime_and_its_standard_error_follow_from_the_definition() -> None:
    n = 30
    X, design = paired(np.random.default_rng(8), n), design_of(n, 3)
    fold = prompt_folds(design, np.random.default_rng(0))
    Z, ones, step = by_prompt(X, design), np.ones(n), 1e-5 * np.eye(n)
    slopes = [
        (d_prime_by_definition(Z, fold, ones + s) - d_prime_by_definition(Z, fold, ones - s)) / 2e-5
        for s in step
    ]
    found = d_prime(squared(X), design, fold)
    assert found.estimate == pytest.approx(d_prime_by_definition(Z, fold, ones), rel=1e-9)
    assert found.se == pytest.approx(np.sqrt(n / (n - 1) * np.sum(np.square(slopes))), rel=1e-6)


def test_probe_is_linear_discriminant_analysis_fitted_on_other_prompts() -> None:
    X, design = paired(np.random.default_rng(9), 60, 2, 8), design_of(60, 2)
    fold = prompt_folds(design, np.random.default_rng(0))
    right, aucs, sizes = [], [], []
    for f in range(5):
        test = (fold == f)[design.prompt]
        residuals = X - np.array([X[~test & (design.mode == c)].mean(0) for c in range(2)])[design.mode]
        # One covariance over both modes, which scikit-learn would otherwise shrink mode by mode.
        covariance = LedoitWolf(assume_centered=True).fit(residuals[~test]).covariance_

        class Common:
            covariance_ = covariance

            def fit(self, _: Array) -> Common:
                return self

        lda = LinearDiscriminantAnalysis(solver="lsqr", covariance_estimator=Common(), priors=[0.5, 0.5])
        lda.fit(X[~test], design.mode[~test])
        right.append(lda.predict(X[test]) == design.mode[test])
        scores = lda.decision_function(X[test])
        m = test.sum() // 2
        # Pairs of one prompt do not count.
        own = np.mean(scores[1::2] > scores[::2])
        aucs.append((roc_auc_score(design.mode[test], scores) * m - own) / (m - 1))
        sizes.append(m)
    found = probe(X, design, fold)
    assert found.accuracy.estimate == pytest.approx(np.concatenate(right).mean(), abs=1e-12)
    assert found.auc.estimate == pytest.approx(np.average(aucs, weights=sizes), rel=1e-9)


def test_the_auc_of_a_probe_compares_prompts_of_different_clusters_in_one_fold() -> None:
    rng, n = np.random.default_rng(8), 30
    X = paired(rng, n, 2, 4)
    cluster = pd.Series(np.arange(n) // 3, index=[str(i) for i in range(n)])
    design = make_design(["neg", "pos"] * n, np.repeat(np.arange(n), 2)).clustered(cluster)
    fold = prompt_folds(design, np.random.default_rng(1), 3)
    by_hand = np.empty(n)
    for f in range(3):
        here = np.flatnonzero(fold == f)
        Z = X.reshape(n, 2, 4)
        scores = discriminant_scores(Z[fold != f], Z[here])
        odds = scores[:, :, 1] - scores[:, :, 0]
        for i, one in enumerate(here):
            won = [
                (np.sign(odds[i, 1] - odds[j, 0]) + 1) / 2 + (np.sign(odds[j, 1] - odds[i, 0]) + 1) / 2
                for j, other in enumerate(here)
                if cluster.iloc[one] != cluster.iloc[other]
            ]
            by_hand[one] = np.mean(won) / 2
    assert probe(X, design, fold).auc.estimate == pytest.approx(by_hand.mean(), abs=1e-9)


def test_mutual_information_of_two_modes_is_the_jensen_shannon_divergence() -> None:
    rng = np.random.default_rng(10)
    P = rng.dirichlet(np.full(50, 0.1), size=(8, 2))
    P[0, 0, :25], P[0, 1, 25:] = 0, 0
    P /= P.sum(-1, keepdims=True)
    P[1, 1] = P[1, 0]
    expected = jensenshannon(P[:, 0], P[:, 1], axis=1, base=2) ** 2
    np.testing.assert_allclose(mutual_information(P), np.nan_to_num(expected), **CLOSE)
    assert mutual_information(P)[0] == pytest.approx(1)
    one_token_a_mode = np.eye(3)[None]
    np.testing.assert_allclose(mutual_information(one_token_a_mode), np.log2(3))


def test_token_distances_average_over_complete_prompts(pairs_table: pd.DataFrame) -> None:
    found = token_distances(TokenTables(pairs_table), ("a", "b", "c"))
    lines = pairs_table[pairs_table["prompt_id"] != "p0"]
    values = lines.groupby("prompt_id")["tv"].mean()
    expected = stats.ttest_1samp(values, 0).confidence_interval()
    assert found.total_variation.estimate == pytest.approx(values.mean())
    assert (found.total_variation.low, found.total_variation.high) == pytest.approx(tuple(expected))
    assert found.mutual_information is None
    ab = pairs_table[(pairs_table["mode_a"] == "a") & (pairs_table["mode_b"] == "b")]
    information = token_distances(TokenTables(pairs_table), ("b", "a")).mutual_information
    assert information is not None
    assert information.estimate == pytest.approx(ab["js_bits"].mean())
    assert information.n_prompts == len(ab)


def test_information_over_three_modes_comes_from_what_the_run_keeps(pairs_table: pd.DataFrame) -> None:
    ids = pairs_table["prompt_id"].unique()
    P = np.random.default_rng(12).dirichlet(np.full(20, 0.2), size=(len(ids), 3))
    bits = pd.DataFrame({"prompt_id": ids[::-1], "bits": mutual_information(P)[::-1]})
    tables = TokenTables(pairs_table, bits, P.mean(axis=0), ("a", "b", "c"))
    found = token_distances(tables, ("a", "b", "c"))
    complete = mutual_information(P)[ids != "p0"]  # p0 lacks a pair
    assert found.mutual_information is not None
    assert found.mixture_information is not None
    assert found.mutual_information.estimate == pytest.approx(complete.mean())
    assert found.mixture_information.estimate == pytest.approx(mutual_information(P.mean(axis=0)[None])[0])
    assert found.mixture_information.low is None
    two = token_distances(tables, ("c", "a")).mixture_information
    assert two is not None
    assert two.estimate == pytest.approx(jensenshannon(P[:, 2].mean(0), P[:, 0].mean(0), base=2) ** 2)


def test_mean_estimate_is_the_t_interval() -> None:
    values = np.random.default_rng(11).random(9)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    found = mean_estimate(values, 0.9)
    assert (found.low, found.high) == pytest.approx(tuple(expected))


def test_proportion_interval_is_clopper_pearson_where_trials_are_independent() -> None:
    """With one point a prompt the effective number is the number of prompts, but for Student's t."""
    hits = np.arange(4000) < 3000
    share = hits.mean()
    found = proportion(float(share), (hits - share) / len(hits))
    expected = stats.binomtest(3000, 4000).proportion_ci()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=2e-5)
    perfect = proportion(1.0, np.zeros(40))
    assert perfect.low == pytest.approx(stats.binomtest(40, 40).proportion_ci().low)
    assert perfect.high == 1


def test_relabelling_enumerates_to_the_exact_p_value() -> None:
    """Five prompts of two modes have 2^5 relabellings: the p-value settles on their exact share."""
    X, design = paired(np.random.default_rng(12), 5, 2, 3, strength=0.8), design_of(5, 2)
    Z = by_prompt(X, design)
    signs = np.array(np.meshgrid(*[[1, -1]] * 5)).reshape(5, -1).T
    gaps = np.linalg.norm(signs @ (Z[:, 0] - Z[:, 1]), axis=1)
    exact = np.mean(gaps >= gaps[0] - 1e-9)
    found = relabelling_p_value(squared(X), design, np.random.default_rng(0), 20_000)
    assert found == pytest.approx(exact, abs=5 * np.sqrt(exact * (1 - exact) / 20_000))


@pytest.mark.parametrize("seed", range(3))
def test_relabelling_orders_energies_of_three_modes(seed: int) -> None:
    X, design = paired(np.random.default_rng(seed), 8, 3, 3, strength=0.3), design_of(8, 3)
    Z, rng = by_prompt(X, design), np.random.default_rng(seed + 100)
    observed = energy_by_definition(Z)
    null = []
    for _ in range(600):
        order = rng.permuted(np.tile(np.arange(3), (8, 1)), axis=1)
        null.append(energy_by_definition(np.take_along_axis(Z, order[:, :, None], axis=1)))
    expected = (1 + np.sum(np.array(null) >= observed - 1e-12)) / 601
    found = relabelling_p_value(euclidean(X), design, np.random.default_rng(0), 4000)
    assert found == pytest.approx(expected, abs=5 * np.sqrt(0.25 / 600))


@pytest.mark.parametrize("strength", [0.0, 0.6])
def test_permuted_modes_give_the_p_value_of_scikit_learns_davies_bouldin(strength: float) -> None:
    X, design = paired(np.random.default_rng(14), 8, 3, 3, strength=strength), design_of(8, 3)
    rng = np.random.default_rng(15)
    null = [
        davies_bouldin_score(X, rng.permuted(np.tile(np.arange(3), (8, 1)), axis=1).ravel())
        for _ in range(2000)
    ]
    expected = (1 + np.sum(np.array(null) <= davies_bouldin_score(X, design.mode) + 1e-12)) / 2001
    found = davies_bouldin_p_value(squared(X), design, np.random.default_rng(0), 4000)
    assert found == pytest.approx(expected, abs=5 * np.sqrt(0.25 / 2000))


def test_a_gram_space_gives_what_its_coordinates_give() -> None:
    X, design = paired(np.random.default_rng(13), 14), design_of(14, 3)
    gram, points = Gram(X @ X.T), Coordinates(X)
    fold = prompt_folds(design, np.random.default_rng(0))
    measures: tuple[tuple[Distance, Callable[[Distances], Estimate]], ...] = (
        ("sqeuclidean", lambda d: variance_split(d, design).partial_epsilon2),
        ("sqeuclidean", lambda d: d_prime(d, design, fold)),
        ("sqeuclidean", lambda d: nearest_centroid_accuracy(d, design, fold)),
        ("sqeuclidean", lambda d: davies_bouldin(d, design)),
        ("sqeuclidean", lambda d: debiased_cka(d, design)),
        ("euclidean", lambda d: energy_distance(d, design)),
        ("euclidean", lambda d: paired_distance_ratio(d, design)),
    )
    for distance, measure in measures:
        of_gram, of_points = measure(gram.distances(distance)), measure(points.distances(distance))
        assert of_gram.estimate == pytest.approx(of_points.estimate, rel=1e-9)
        assert (of_gram.se or 0) == pytest.approx(of_points.se or 0, rel=1e-8)


def test_folds_are_of_equal_size_and_do_not_depend_on_row_order() -> None:
    design = design_of(23, 2)
    order = np.random.default_rng(0).permutation(46)
    modes = np.array(design.modes)[design.mode][order]
    ids = np.array(design.prompt_ids)[design.prompt][order]
    shuffled = make_design(modes, ids)
    fold = dict(zip(design.prompt_ids, prompt_folds(design, np.random.default_rng(1)), strict=True))
    again = dict(zip(shuffled.prompt_ids, prompt_folds(shuffled, np.random.default_rng(1)), strict=True))
    assert fold == again
    assert sorted(np.bincount(list(fold.values()))) == [4, 4, 5, 5, 5]


@pytest.mark.parametrize(("n", "sizes"), [(2, [1, 1]), (4, [2, 2]), (9, [2, 2, 2, 3]), (10, [2] * 5)])
def test_few_prompts_make_fewer_folds_rather_than_folds_of_one(n: int, sizes: list[int]) -> None:
    assert sorted(np.bincount(prompt_folds(design_of(n, 2), np.random.default_rng(0)))) == sizes
