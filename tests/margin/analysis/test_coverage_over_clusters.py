"""Do intervals over few clusters of unequal size cover? What they are held against is the mean over runs."""

from __future__ import annotations

import numpy as np
import pytest

from margin.analysis.comparison import compare
from margin.analysis.layers import layer_curve
from margin.analysis.margins import leave_prompt_out_margin, margins
from margin.analysis.permutation import permutation_null
from margin.analysis.separation.table import separation
from margin.analysis.space import Coordinates
from margin.stats.estimate import Estimate
from margin.stats.intervals import t_interval
from tests.intervals import lower, upper
from tests.margin.clustered import Clustered
from tests.simulations import Record

Ends = tuple[float, float, float]
"""Estimate, low and high."""


def covering(found: list[dict[str, list[Ends]]]) -> dict[str, float]:
    """Of each number the share of runs whose intervals all hold the means over runs."""
    shares = {}
    for name in found[0]:
        value, low, high = np.array([of_run[name] for of_run in found]).transpose(2, 0, 1)
        truth = value.mean(axis=0)
        shares[name] = float(np.mean(((low <= truth) & (truth <= high)).all(axis=1)))
    return shares


def ends(found: Estimate) -> Ends:
    return found.estimate, lower(found), upper(found)


def of_one_run(population: Clustered, seed: int) -> dict[str, list[Ends]]:
    """Margins, and measures of separation, of all modes and of the pair that differs least."""
    (X,), design = population.runs(np.random.default_rng([1, seed]))
    space = Coordinates(X)
    out = {name: [ends(found)] for name, found in margins(space, design).estimates.items()}
    table = separation(space, design, rng=np.random.default_rng(seed), permutations=1, optional=True)
    known = table[table["low"].notna() & table["modes"].isin(["all", "b / c"])]
    return out | {
        row.measure + ("" if row.modes == "all" else f" of {row.modes}"): [(row.estimate, row.low, row.high)]
        for row in known.itertuples()
    }


def of_several(population: Clustered, seed: int) -> dict[str, list[Ends]]:
    """Differences of two runs, and what holds at once: over three runs, over three layers."""
    found, design = population.runs(np.random.default_rng([2, seed]), 3)
    spaces, rng = [Coordinates(X) for X in found], np.random.default_rng(seed)
    compared = compare({str(i): (space, design) for i, space in enumerate(spaces)}, rng)
    out: dict[str, list[Ends]] = {}
    for one in compared.differences:
        if one.run == "1":
            out[f"difference of {one.margin}"] = [ends(one.difference)]
        out.setdefault(f"differences of {one.margin} at once", []).append(ends(one.simultaneous))
    curve = layer_curve(enumerate(spaces), design, rng)
    for name in ("leave_prompt_out", "prompt_centred", "separation"):
        out[f"band of {name}"] = [ends(each) for each in getattr(curve, name)]
    return out


def test_intervals_over_clusters_cover() -> None:
    """40 runs: the Monte Carlo error of .95 is .034, the band three and a half of them wide."""
    population = Clustered(strength=1.0, correlation=0.6)
    shares = covering([of_one_run(population, seed) for seed in range(40)])
    shares |= covering([of_several(population, seed) for seed in range(40)])
    assert min(shares.values()) > 0.95 - 3.5 * 0.034, shares


@pytest.mark.slow
@pytest.mark.parametrize("strength", [0.0, 0.6, 1.5])
@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.8])
def test_coverage_over_clusters(correlation: float, strength: float, record_figures: Record) -> None:
    """240 runs: the Monte Carlo error is .014, of 100 runs .022; the least of some thirty numbers is held."""
    population = Clustered(strength, correlation)
    about = f"15 clusters of 3 to 10 prompts, correlation {correlation}, strength {strength}"
    one = covering([of_one_run(population, seed) for seed in range(240)])
    record_figures(about, one)
    several = covering([of_several(population, seed) for seed in range(100)])
    record_figures(f"{about}, several runs and layers", several)
    assert min(one.values()) > 0.88, one
    assert min(several.values()) > 0.86, several


def of_centred(population: Clustered, seed: int) -> dict[str, list[Ends]]:
    """The prompt-centred margin of one run, and its difference from another's."""
    found, design = population.runs(np.random.default_rng([4, seed]), 2)
    spaces = [Coordinates(X).centred_by_prompt(design) for X in found]
    a, b = (leave_prompt_out_margin(space.distances("cosine"), design) for space in spaces)
    difference = t_interval(b[0] - a[0], b[1] - a[1], over=design.clusters)
    return {
        "prompt_centred": [ends(t_interval(*a, over=design.clusters))],
        "difference of prompt_centred": [ends(difference)],
    }


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0.5, 0.8])
def test_prompt_centred_margins_cover_over_clusters(correlation: float, record_figures: Record) -> None:
    """2,000 runs: the Monte Carlo error is .005."""
    found = covering([of_centred(Clustered(1.5, correlation), seed) for seed in range(2000)])
    record_figures(f"15 clusters of 3 to 10 prompts, correlation {correlation}, strength 1.5", found)
    assert min(found.values()) >= 0.92


def type_i(runs: int, correlation: float) -> float:
    population, below = Clustered(0.0, correlation), 0
    for seed in range(runs):
        rng = np.random.default_rng([3, seed])
        (X,), design = population.runs(rng)
        below += permutation_null(Coordinates(X).distances("cosine"), design, rng, 199).p_value <= 0.05
    return below / runs


def test_permutation_holds_its_level_over_clusters() -> None:
    """100 runs at 5%: the Monte Carlo error is .022."""
    assert type_i(100, 0.8) <= 0.05 + 3.5 * 0.022


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0.2, 0.8])
def test_permutation_type_i_error_over_clusters(correlation: float, record_figures: Record) -> None:
    """600 runs: the Monte Carlo error is .009."""
    found = type_i(600, correlation)
    record_figures(f"15 clusters of 3 to 10 prompts, correlation {correlation}", {"type I error": found})
    assert found <= 0.05 + 2.5 * 0.009
