"""Margins within slices, against scikit-learn slice by slice, and in simulation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import silhouette_score

from margin.analysis.margins import leave_prompt_out_margin
from margin.analysis.space import Coordinates
from margin.analysis.strata import stratified_margin
from margin.errors import MarginError
from margin.stats.design import Design, make_design
from tests.intervals import holds
from tests.margin.clustered import Clustered, K
from tests.margin.silhouette_oracle import Array, labels, paired_points
from tests.simulations import Record


def data(
    n: int, seed: int, apart: float = 3.0, slices: int = 2, missing: float = 0.0
) -> tuple[Array, Design, pd.Series]:
    """Prompts of slices that lie apart."""
    rng = np.random.default_rng(seed)
    mode, prompt = labels(n, 3, rng, missing)
    X = paired_points(rng, mode, prompt)
    of_prompt = rng.integers(slices, size=prompt.max() + 1)
    X[:, 0] += apart * of_prompt[prompt]
    design = make_design(mode, prompt)
    values = pd.Series(
        [f"s{of_prompt[int(name)]}" for name in design.prompt_ids], design.prompt_ids, name="kind"
    )
    return X, design, values


@pytest.mark.parametrize("distance", ["cosine", "euclidean", "sqeuclidean"])
def test_plain_margins_are_scikit_learns_slice_by_slice(distance: str) -> None:
    X, design, column = data(40, 0)
    found = stratified_margin(Coordinates(X), design, column, distance)  # type: ignore[arg-type]
    of_point = column.loc[[design.prompt_ids[p] for p in design.prompt]].to_numpy()
    scores, sizes = [], []
    for name in found.names:
        here = of_point == name
        scores.append(silhouette_score(X[here], design.mode[here], metric=distance))
        sizes.append((column == name).sum())
    assert found.plain == pytest.approx(np.average(scores, weights=sizes), abs=1e-9)


def test_the_margin_within_is_the_mean_of_the_slices_own() -> None:
    X, design, column = data(50, 1, missing=0.2)
    found = stratified_margin(Coordinates(X), design, column)
    own = []
    for name in found.names:
        here = (column == name).to_numpy()[design.prompt]
        distances = Coordinates(X[here]).distances("cosine")
        own.append(leave_prompt_out_margin(distances, design.part(here))[0])
    sizes = [(column == name).sum() for name in found.names]
    assert found.within.estimate == pytest.approx(np.average(own, weights=sizes), abs=1e-9)
    assert [margin.estimate for margin in found.slices] == pytest.approx(own)


def test_one_slice_is_the_margin_itself() -> None:
    X, design, _ = data(30, 2)
    same = pd.Series("x", design.prompt_ids, name="kind")
    found = stratified_margin(Coordinates(X), design, same)
    value, _ = leave_prompt_out_margin(Coordinates(X).distances("cosine"), design)
    assert found.within.estimate == pytest.approx(value, abs=1e-12)
    assert found.between_share == pytest.approx(0, abs=1e-9)


def test_the_share_between_slices_is_that_of_the_prompts_means() -> None:
    X, design, column = data(60, 3, apart=4.0, slices=3)
    means = pd.DataFrame(X).groupby(design.prompt).mean().to_numpy()
    of_prompt = column.to_numpy()
    total = np.sum((means - means.mean(axis=0)) ** 2) / (len(means) - 1)
    parts = [means[of_prompt == name] for name in np.unique(of_prompt)]
    within = sum(np.sum((part - part.mean(axis=0)) ** 2) for part in parts) / (len(means) - len(parts))
    found = stratified_margin(Coordinates(X), design, column)
    assert found.between_share == pytest.approx(1 - within / total, abs=1e-9)


def test_small_slices_and_prompts_without_a_value_are_left_out_and_counted() -> None:
    X, design, column = data(20, 4)
    column.iloc[0], column.iloc[1] = "alone", None
    found = stratified_margin(Coordinates(X), design, column)
    assert "alone" not in found.names
    assert found.left_out == 2
    with pytest.raises(MarginError, match="no slice of two prompts"):
        stratified_margin(Coordinates(X), design, pd.Series(range(20), design.prompt_ids, name="id"))


def test_intervals_cover_the_margin_within() -> None:
    """120 runs: the Monte Carlo error of .95 is .02."""
    found = [stratified_margin(Coordinates(X), design, column).within for X, design, column in runs(120)]
    truth = float(np.mean([estimate.estimate for estimate in found]))
    assert np.mean([holds(estimate, truth) for estimate in found]) >= 0.89


def runs(count: int) -> list[tuple[Array, Design, pd.Series]]:
    """Runs of one population: the modes' effects are the same in all."""
    made = []
    fixed = np.random.default_rng(5).standard_normal((3, 6))
    for seed in range(count):
        rng = np.random.default_rng([6, seed])
        n = 60
        mode, prompt = np.tile(np.arange(3), n), np.repeat(np.arange(n), 3)
        of_prompt = rng.integers(2, size=n)
        X = (
            2
            + rng.standard_normal((n, 6))[prompt]
            + 0.5 * fixed[mode]
            + 0.7 * rng.standard_normal((3 * n, 6))
        )
        X[:, 0] += 3 * of_prompt[prompt]
        design = make_design(mode, prompt)
        made.append((X, design, pd.Series(of_prompt, design.prompt_ids, name="kind").astype(str)))
    return made


def covering_over_clusters(population: Clustered, nested: bool, runs: int) -> float:
    """Share of runs whose interval holds the mean margin within slices; a slice holds whole clusters where
    `nested`, else some prompts of each."""
    found = []
    for seed in range(runs):
        rng = np.random.default_rng([8, seed])
        (X,), design = population.runs(rng)
        of_unit = rng.integers(2, size=design.n_units if nested else design.n_prompts)
        of_prompt = of_unit[design.unit] if nested else of_unit
        X[:, 0] += 3 * of_prompt[design.prompt]
        column = pd.Series([f"s{value}" for value in of_prompt], design.prompt_ids, name="kind")
        found.append(stratified_margin(Coordinates(X), design, column).within)
    truth = float(np.mean([each.estimate for each in found]))
    return float(np.mean([holds(each, truth) for each in found]))


@pytest.mark.parametrize("nested", [True, False])
def test_intervals_over_clusters_cover_the_margin_within(nested: bool) -> None:
    """60 runs: the Monte Carlo error of .95 is .028."""
    assert covering_over_clusters(Clustered(1.0, 0.8), nested, 60) > 0.95 - 3.5 * 0.028


@pytest.mark.slow
@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("strength", [0.0, 0.6, 2.0])
def test_coverage_over_clusters(strength: float, nested: bool, record_figures: Record) -> None:
    """400 runs: the Monte Carlo error is .011."""
    found = covering_over_clusters(Clustered(strength, 0.8), nested, 400)
    how = "whole clusters" if nested else "some prompts of each cluster"
    record_figures(f"slices of {how}, correlation 0.8, strength {strength}, {K} modes", {"within": found})
    assert found > 0.91
