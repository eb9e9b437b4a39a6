"""The permutation null: what it permutes, what it computes, its level and its power."""

from __future__ import annotations

import numpy as np
import pytest

from margin.analysis import permutation as module
from margin.analysis.metrics import Distance
from margin.analysis.permutation import permutation_null, permute_within_prompts
from margin.analysis.sam import silhouette_samples
from margin.analysis.space import Coordinates, Gram
from margin.stats.design import Design, make_design
from tests.margin.paired_population import Population
from tests.margin.silhouette_oracle import DISTANCES, Array, labels, paired_points, pairwise, samples
from tests.simulations import Record


@pytest.mark.parametrize("missing", [0.0, 0.5], ids=["complete", "incomplete"])
def test_each_prompt_keeps_its_set_of_modes(missing: float) -> None:
    rng = np.random.default_rng(40)
    design = make_design(*labels(20, 4, rng, missing))
    relabelled = permute_within_prompts(design, rng, 50)
    for prompt in range(design.n_prompts):
        rows = design.prompt == prompt
        expected = np.sort(design.mode[rows])[:, None]
        np.testing.assert_array_equal(np.sort(relabelled[rows], axis=0), np.tile(expected, 50))


def test_every_order_of_a_prompts_modes_is_as_likely() -> None:
    design = make_design(list("abcabc"), list("pppqqq"))
    relabelled = permute_within_prompts(design, np.random.default_rng(41), 6000)
    for rows in (slice(0, 3), slice(3, 6)):
        counts = np.unique(relabelled[rows], axis=1, return_counts=True)[1]
        assert len(counts) == 6
        assert (np.abs(counts - 1000) < 5 * np.sqrt(6000 / 6 * 5 / 6)).all()


@pytest.mark.parametrize("chunk", [1, 2**24])
@pytest.mark.parametrize("missing", [0.0, 0.5], ids=["complete", "incomplete"])
@pytest.mark.parametrize("distance", DISTANCES)
def test_null_margins_follow_the_definition(
    distance: Distance, missing: float, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", chunk)
    rng = np.random.default_rng(42)
    mode, prompt = labels(8, 3, rng, missing)
    X = paired_points(rng, mode, prompt)
    design = make_design(mode, prompt)
    null = permutation_null(Coordinates(X).distances(distance), design, np.random.default_rng(43), 20)
    relabelled = permute_within_prompts(design, np.random.default_rng(43), 20)
    D = pairwise(X, distance)
    expected = [samples(D, labelling, design.prompt).mean() for labelling in relabelled.T]
    np.testing.assert_allclose(null.values, expected, atol=1e-9)
    observed = samples(D, design.mode, design.prompt).mean()
    assert null.p_value == (1 + np.sum(np.array(expected) >= observed - 1e-12)) / 21
    assert null.mean == pytest.approx(np.mean(expected), abs=1e-9)
    assert null.permutations == 20


def test_inner_products_have_the_same_null() -> None:
    rng = np.random.default_rng(44)
    mode, prompt = labels(10, 3, rng)
    X = paired_points(rng, mode, prompt)
    design = make_design(mode, prompt)
    nulls = [
        permutation_null(space.distances("cosine"), design, np.random.default_rng(45), 30)
        for space in (Coordinates(X), Gram(X @ X.T))
    ]
    np.testing.assert_allclose(nulls[0].values, nulls[1].values, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_relabellings_that_change_nothing_reach_the_margin(dtype: type) -> None:
    """With two modes and three prompts 2 of 8 relabellings keep the two sets: no p-value below a quarter."""
    rng = np.random.default_rng(46)
    mode, prompt = labels(3, 2, rng)
    X: Array = (paired_points(rng, mode, prompt, d=200, separation=20) + 30).astype(dtype)
    null = permutation_null(
        Coordinates(X).distances("cosine"), make_design(mode, prompt), np.random.default_rng(47), 2000
    )
    assert null.p_value == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / 2000))


def test_modes_that_make_no_difference_at_all_have_p_1() -> None:
    X = np.repeat(np.random.default_rng(48).standard_normal((6, 4)), 3, axis=0)
    design = make_design(list("abc") * 6, np.repeat(np.arange(6), 3))
    assert (
        permutation_null(Coordinates(X).distances("cosine"), design, np.random.default_rng(49), 50).p_value
        == 1
    )


def rejections(population: Population, n: int, runs: int, permutations: int = 99) -> float:
    """Share of runs with p <= .05."""
    p_values = []
    for run in range(runs):
        rng = np.random.default_rng([50, run])
        X, design = population.draw(n, rng)
        p_values.append(
            permutation_null(Coordinates(X).distances("cosine"), design, rng, permutations).p_value
        )
    return float(np.mean(np.array(p_values) <= 0.05))


def unrestricted_rejections(population: Population, n: int, runs: int, permutations: int = 99) -> float:
    """As `rejections`, the labels shuffled over all points as if they were independent."""

    def margin_of(X: Array, design: Design, rng: np.random.Generator | None) -> float:
        mode = design.mode if rng is None else rng.permutation(design.mode)
        return float(silhouette_samples(X, mode).mean())

    rejected = 0
    for run in range(runs):
        rng = np.random.default_rng([50, run])
        X, design = population.draw(n, rng)
        null = np.array([margin_of(X, design, rng) for _ in range(permutations)])
        rejected += bool((1 + np.sum(null >= margin_of(X, design, None))) / (permutations + 1) <= 0.05)
    return rejected / runs


def test_level_is_held_and_effects_are_found() -> None:
    """200 null runs: the Monte Carlo error of .05 is .015, the band three of them wide."""
    assert rejections(Population(0), n=12, runs=200) <= 0.05 + 3 * 0.015
    assert rejections(Population(2.5), n=12, runs=40) >= 0.8


def test_permuting_within_prompts_has_the_power_that_shuffling_all_points_lacks() -> None:
    within = rejections(Population(1.5), n=20, runs=40)
    across = unrestricted_rejections(Population(1.5), n=20, runs=40)
    assert within > across + 0.25, (within, across)


@pytest.mark.slow
def test_type_one_error_of_the_permutation_test(record_figures: Record) -> None:
    """2,000 runs: the Monte Carlo error is .005."""
    table = {n: rejections(Population(0), n=n, runs=2000) for n in (10, 40)}
    power = {s: rejections(Population(s), n=40, runs=300) for s in (0.5, 1.0, 1.5)}
    shuffled = {s: unrestricted_rejections(Population(s), n=40, runs=100) for s in power}
    for n, share in table.items():
        record_figures(f"no separation, {n} prompts", {"rejected": share})
    for s, share in power.items():
        record_figures(f"separation {s}, 40 prompts", {"rejected": share, "shuffling all": shuffled[s]})
    assert all(0.03 <= share <= 0.07 for share in table.values())
