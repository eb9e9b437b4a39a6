"""Bootstrap replicates against the weighted definition, BCa against SciPy's, and coverage."""

from __future__ import annotations

import numpy as np
import pytest
from paired_population import Population
from scipy import stats
from silhouette_oracle import DISTANCES, labels, paired_points, pairwise, weighted_margin

from margin.analysis import bootstrap as module
from margin.analysis.bootstrap import bca_estimate, bootstrap_margins, prompt_weights
from margin.analysis.design import Design, make_design
from margin.analysis.distances import Distance
from margin.analysis.estimate import Estimate
from margin.analysis.sam import leave_prompt_out_margin
from margin.analysis.space import Coordinates, Gram, Space


def test_weights_count_draws() -> None:
    weights = prompt_weights(30, 4000, np.random.default_rng(60))
    assert weights.shape == (30, 4000)
    np.testing.assert_array_equal(weights.sum(axis=0), 30)
    assert weights.var() == pytest.approx(1 - 1 / 30, rel=0.02)


@pytest.mark.parametrize("chunk", [1, 2**25])
@pytest.mark.parametrize("missing", [0.0, 0.5], ids=["complete", "incomplete"])
@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("kind", [Coordinates, Gram])
def test_replicates_follow_the_weighted_definition(
    kind: type, distance: Distance, missing: float, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", chunk)
    rng = np.random.default_rng(61)
    mode, prompt = labels(7, 3, rng, missing)
    X = paired_points(rng, mode, prompt)
    design = make_design(mode, prompt)
    space: Space = Coordinates(X) if kind is Coordinates else Gram(X @ X.T)
    weights = np.hstack([prompt_weights(7, 10, rng), np.ones((7, 1)), 7 * np.eye(7)[:, :1]])
    taken = bootstrap_margins(space.distances(distance), design, weights)
    D = pairwise(X, distance)
    ones = np.ones(len(mode))
    expected = [weighted_margin(D, design.mode, design.prompt, w, ones) for w in weights.T]
    np.testing.assert_allclose(taken, expected, atol=1e-9)


def test_bca_equals_scipys_for_a_mean() -> None:
    x = np.random.default_rng(62).lognormal(sigma=1.2, size=35)
    scipys = stats.bootstrap(
        (x,), np.mean, method="BCa", confidence_level=0.9, n_resamples=2000, rng=np.random.default_rng(63)
    )
    ours = bca_estimate(x.mean(), scipys.bootstrap_distribution, (x - x.mean()) / len(x), level=0.9)
    interval = scipys.confidence_interval
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high), abs=1e-12)
    assert ours.se == pytest.approx(scipys.standard_error, abs=1e-12)
    assert ours.high - ours.estimate > 1.2 * (ours.estimate - ours.low)  # skewed as the data are


def test_a_margin_without_variation_has_an_interval_without_width() -> None:
    estimate = bca_estimate(0.0, np.zeros(100), np.zeros(10))
    assert (estimate.low, estimate.high, estimate.se) == (0, 0, 0)


def bca(space: Space, design: Design, rng: np.random.Generator, replicates: int) -> Estimate:
    distances = space.distances("cosine")
    value, influence = leave_prompt_out_margin(distances, design)
    weights = prompt_weights(design.n_prompts, replicates, rng)
    return bca_estimate(value, bootstrap_margins(distances, design, weights), influence)


def coverage(
    population: Population, n: int, runs: int, replicates: int, truth_prompts: int
) -> tuple[float, float]:
    """Share of runs whose BCa interval holds the truth: leave-prompt-out, prompt-centred."""
    X, design = population.draw(truth_prompts, np.random.default_rng(64))
    space = Coordinates(X)
    truth = [
        leave_prompt_out_margin(s.distances("cosine"), design)[0]
        for s in (space, space.centred_by_prompt(design))
    ]
    hits = np.zeros(2)
    for run in range(runs):
        rng = np.random.default_rng([65, run])
        X, design = population.draw(n, rng)
        space = Coordinates(X)
        for v, drawn in enumerate((space, space.centred_by_prompt(design))):
            estimate = bca(drawn, design, rng, replicates)
            assert estimate.low is not None
            assert estimate.high is not None
            hits[v] += estimate.low <= truth[v] <= estimate.high
    left_out, centred = hits / runs
    return float(left_out), float(centred)


def test_bca_intervals_cover() -> None:
    """60 runs: the Monte Carlo error of .95 is .028, the band four of them wide."""
    covered = coverage(Population(4), n=40, runs=60, replicates=200, truth_prompts=20_000)
    assert min(covered) > 0.95 - 4 * 0.028, covered


@pytest.mark.slow
def test_coverage_of_bca_intervals(capsys: pytest.CaptureFixture[str]) -> None:
    """400 runs: the Monte Carlo error is .011."""
    populations = {"separate": Population(4), "collapsed pair": Population(4, collapsed=True)}
    table = {
        name: coverage(p, n=100, runs=400, replicates=600, truth_prompts=100_000)
        for name, p in populations.items()
    }
    with capsys.disabled():
        print("\ncoverage of 95% intervals, BCa over prompts, 100 prompts, cosine, 400 runs")
        for name, (left_out, centred) in table.items():
            print(f"  {name:16} leave-prompt-out {left_out:.3f}   prompt-centred {centred:.3f}")
    assert all(0.92 <= share <= 0.98 for row in table.values() for share in row)
