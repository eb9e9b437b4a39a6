"""How often a rule places points of known mode rightly: does its interval cover what the very fits do on new
prompts?
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from margin.analysis.robustness.assignment import assign
from margin.analysis.robustness.rules import FITS
from margin.inputs.condition import Rule
from margin.stats.folds import prompt_folds
from margin.stats.intervals import mean_share
from tests.intervals import holds
from tests.margin.clustered import Clustered, K
from tests.margin.silhouette_oracle import Array
from tests.simulations import Record


def on_new_prompts(rule: Rule, known: Array, fold: Array, new: Array) -> float:
    """Share of the points (m, k, d) of new prompts that the fits of all folds place rightly."""
    points, rates = new.reshape(-1, new.shape[2]), []
    for f in range(fold.max() + 1):
        training = known[fold != f]
        places = np.arange(training.shape[0] * K).reshape(-1, K)
        fit = FITS[rule](training.reshape(-1, points.shape[1]), places)
        distances = fit.distances(points, np.repeat(new.mean(axis=1), K, axis=0))
        rates.append(np.mean(distances.argmin(axis=1) == np.tile(np.arange(K), len(new))))
    return float(np.mean(rates))


def covering(rule: Rule, population: Clustered, runs: int) -> dict[str, float]:
    """Share of runs whose intervals hold it: as they are, and without what folds repeat."""
    elsewhere = replace(population, clusters=2000, sizes=(1, 1))
    (X,), _ = elsewhere.runs(np.random.default_rng(1))
    new, held = X.reshape(2000, K, -1), []
    for seed in range(runs):
        (X,), design = population.runs(np.random.default_rng([2, seed]))
        places = np.arange(design.n_points).reshape(-1, K)
        fold = prompt_folds(design, np.random.default_rng(seed))
        found = assign(rule, X, places, design.prompt, fold)
        goal = on_new_prompts(rule, X[places], fold, new) if population.strength else 1 / K
        bare = mean_share(found.correct, over=design.clusters)
        held.append((holds(found.accuracy(over=design.clusters), goal), holds(bare, goal)))
    as_it_is, bare_share = np.mean(held, axis=0)
    return {"accuracy": float(as_it_is), "without what folds repeat": float(bare_share)}


def test_the_accuracy_of_landings_covers_where_modes_do_not_differ() -> None:
    """Noise directs the centroids, and folds repeat it. 150 runs: Monte Carlo error .018."""
    found = covering("centroid", Clustered(0.0, 0.5), 150)
    assert found["accuracy"] >= 0.95 - 3 * 0.018, found
    assert found["accuracy"] > found["without what folds repeat"], found


def test_where_modes_differ_much_nothing_is_repeated() -> None:
    (X,), design = Clustered(6.0, 0.0).runs(np.random.default_rng(0))
    places = np.arange(design.n_points).reshape(-1, K)
    fold = prompt_folds(design, np.random.default_rng(0))
    found = assign("centroid", X, places, design.prompt, fold)
    assert 1 <= found.wider < 1.05


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["centroid", "discriminant"])
@pytest.mark.parametrize("strength", [0.0, 0.6, 1.5])
@pytest.mark.parametrize("clusters", [(60, (1, 1)), (15, (3, 10))], ids=["prompts", "clusters"])
def test_the_accuracy_of_landings_covers_at_full_size(
    rule: Rule, strength: float, clusters: tuple[int, tuple[int, int]], record_figures: Record
) -> None:
    """300 runs: the Monte Carlo error is .013; the least of twelve is held."""
    number, sizes = clusters
    found = covering(rule, Clustered(strength, 0.5, number, sizes), 300)
    about = f"{number} clusters of {sizes[0]} to {sizes[1]} prompts, correlation 0.5, strength {strength}"
    record_figures(f"{rule}, {about}", found)
    assert found["accuracy"] >= 0.95 - 4 * 0.013
