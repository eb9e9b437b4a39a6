"""Associations across checkpoints: coverage where one is planted, type I where none is, and the edges."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from margin.errors import MarginError
from margin.stats.association import Association, associate
from margin.stats.attenuation import Measured
from margin.stats.clusters import make_clusters
from margin.stats.estimate import Estimate
from tests.margin.stats.associated import Ceiling, Population
from tests.simulations import Record

SIZES = {12: ((6, 2), (12, 1)), 30: ((10, 3), (30, 1)), 80: ((16, 5), (8, 10))}
"""Trainings and checkpoints of each, by how many there are in all."""


def coverage(population: Population, count: int, seed: int = 0) -> dict[str, float]:
    """Share of draws whose intervals hold the truth, and of those that find a correlation."""
    rng = np.random.default_rng(seed)
    found = [population.draw(rng) for _ in range(count)]
    truths = {
        "spearman": population.spearman_seen,
        "kendall": population.kendall_seen,
        "corrected": population.spearman,
        "partial": population.spearman_seen,
    }
    shares = {
        name: float(np.mean([holds(getattr(one, name), truth) for one in found]))
        for name, truth in truths.items()
    }
    return shares | {"found": float(np.mean([one.p_value <= 0.05 for one in found]))}


def holds(one: Estimate, truth: float) -> bool:
    return one.low is not None and one.high is not None and one.low <= truth <= one.high


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.6, 0.8])
@pytest.mark.parametrize("n", SIZES)
def test_intervals_cover_a_planted_correlation_in_full(
    n: int, correlation: float, record_figures: Record
) -> None:
    for trainings, each in SIZES[n]:
        shares = coverage(Population(trainings, each, correlation), 1000)
        record_figures(f"{trainings} trainings of {each}, correlation {correlation}", shares)
        for name in ("spearman", "kendall", "corrected", "partial"):
            assert shares[name] >= 0.92, (name, shares)
        if correlation == 0:
            assert shares["found"] <= 0.06


@pytest.mark.parametrize("correlation", [0.0, 0.6])
def test_intervals_cover_a_planted_correlation(correlation: float) -> None:
    shares = coverage(Population(10, 3, correlation), 150)
    # 150 draws: a share of .95 is seen below .90 once in 200 times.
    assert min(shares[name] for name in ("spearman", "kendall", "corrected", "partial")) >= 0.9
    if correlation == 0:
        assert shares["found"] <= 0.1


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0.0, 0.6])
@pytest.mark.parametrize("trainings", [8, 14])
def test_ties_at_a_ceiling_and_unequal_trainings_are_covered_in_full(
    trainings: int, correlation: float, record_figures: Record
) -> None:
    population = Ceiling(trainings, correlation)
    seen, behind = population.truths()
    rng = np.random.default_rng(0)
    found = [population.draw(rng) for _ in range(1200)]
    shares = {
        "spearman": float(np.mean([holds(one.spearman, seen) for one in found])),
        "corrected": float(np.mean([holds(one.corrected, behind) for one in found])),
        "found": float(np.mean([one.p_value <= 0.05 for one in found])),
    }
    record_figures(f"{trainings} trainings of 2 to 10, shares near 1, correlation {correlation}", shares)
    assert shares["spearman"] >= 0.92
    assert shares["corrected"] >= 0.9
    if correlation == 0:
        assert shares["found"] <= 0.06


@pytest.mark.slow
@pytest.mark.parametrize("common", [-0.5, 0.5])
def test_what_errors_have_in_common_is_taken_off_in_full(common: float, record_figures: Record) -> None:
    population = Population(16, 5, 0.5, common=common)
    rng = np.random.default_rng(1)
    found = [population.draw(rng) for _ in range(500)]
    corrected = float(np.mean([one.corrected.estimate for one in found]))
    covered = float(np.mean([holds(one.corrected, population.spearman) for one in found]))
    record_figures(f"errors correlated {common}", {"mean": corrected, "coverage": covered})
    assert corrected == pytest.approx(population.spearman, abs=0.03)
    assert covered >= 0.92


def test_what_errors_have_in_common_is_taken_off() -> None:
    """Nothing goes together but the errors, as where both numbers are of the same prompts."""
    population = Population(40, 2, 0.0, reliable=(0.6, 0.6), common=0.9)
    rng = np.random.default_rng(2)
    found = [population.draw(rng) for _ in range(10)]
    assert np.mean([one.spearman.estimate for one in found]) > 0.25
    assert abs(np.mean([one.corrected.estimate for one in found])) < 0.1


def test_reliability_is_the_share_of_the_variance_that_is_no_error() -> None:
    rng = np.random.default_rng(3)
    shares = np.array([Population(40, 2, 0.5).draw(rng).reliability for _ in range(10)], dtype=float)
    np.testing.assert_allclose(shares.mean(axis=0), [0.8, 0.9], atol=0.03)


def test_an_error_that_all_checkpoints_have_in_common_takes_nothing_away() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=20)
    shift = rng.normal(size=(50, 1)) * 10
    found = associate(Measured(x, x + shift), Measured(x**3, x**3 + shift), make_clusters(np.arange(20)))
    assert found.reliability == pytest.approx((1, 1))


def test_clusters_widen_and_steps_are_taken_out() -> None:
    """Two numbers that both follow the step go together, and do not once it is held; copies of a checkpoint
    are no evidence."""
    rng = np.random.default_rng(5)
    step = np.tile(np.arange(10.0), 8)
    training = np.repeat(np.arange(8), 10)
    x, y = (step + rng.normal(size=80) for _ in range(2))
    found = associate(Measured(x), Measured(y), make_clusters(training), step=step)
    assert found.spearman.low is not None
    assert found.spearman.low > 0.7
    assert found.partial is not None
    assert holds(found.partial, 0)
    x, y = rng.normal(size=(2, 12))
    once = associate(Measured(x), Measured(y), make_clusters(np.arange(12)))
    copied = associate(
        Measured(np.repeat(x, 4)), Measured(np.repeat(y, 4)), make_clusters(np.repeat(np.arange(12), 4))
    )
    assert copied.spearman.low == pytest.approx(once.spearman.low, abs=0.01)
    assert copied.p_value == pytest.approx(once.p_value, abs=0.01)


def test_the_partial_correlation_is_that_of_what_ranks_have_beyond_the_step() -> None:
    rng = np.random.default_rng(6)
    x, y, step = rng.normal(size=(3, 40))
    x, y = x + step, y - step
    found = associate(Measured(x), Measured(y), make_clusters(np.arange(40)), step=step).partial
    ranks = [stats.rankdata(each) for each in (x, y, step)]
    left = [each - np.polyval(np.polyfit(ranks[2], each, 1), ranks[2]) for each in ranks[:2]]
    assert found is not None
    assert found.estimate == pytest.approx(stats.pearsonr(*left).statistic)


@pytest.mark.parametrize("constant", [0, 1])
def test_a_number_that_is_the_same_everywhere_has_none_and_says_so(constant: int) -> None:
    values = [np.arange(8.0), np.arange(8.0)]
    values[constant] = np.full(8, 0.25)
    x, y = map(Measured, values)
    found = associate(x, y, make_clusters(np.arange(8)))
    assert np.isnan(found.spearman.estimate)
    assert np.isnan(found.p_value)
    assert found.spearman.low is None
    assert "the same in every checkpoint" in found.spearman.method


def test_too_few_are_refused_or_have_no_interval() -> None:
    x = np.arange(4.0)
    with pytest.raises(MarginError, match="4 checkpoints have no order"):
        associate(Measured(x), Measured(x), make_clusters(np.arange(4)))
    x = np.arange(12.0)
    few: Association = associate(Measured(x), Measured(x), make_clusters(np.repeat(np.arange(4), 3)))
    assert few.spearman.estimate == pytest.approx(1)
    assert few.spearman.low is None
    assert "fewer than 5 trainings" in few.spearman.method


def test_a_perfect_order_of_few_is_no_certainty() -> None:
    x = np.arange(6.0)
    found = associate(Measured(x), Measured(x), make_clusters(np.arange(6))).spearman
    assert found.estimate == pytest.approx(1)
    assert found.low is not None
    assert 0.2 < found.low < 0.95


def test_mostly_error_is_not_corrected() -> None:
    rng = np.random.default_rng(7)
    x = rng.normal(size=20)
    noisy = Measured(x, x + 20 * rng.normal(size=(60, 20)))
    found = associate(noisy, noisy, make_clusters(np.arange(20)))
    assert np.isnan(found.corrected.estimate)
    assert "as large as the differences" in found.corrected.method
