"""What a hand-labelled sample says of a judge: against SciPy and scikit-learn, and by coverage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import optimize, stats
from sklearn.metrics import recall_score

from margin.analysis.behaviour.allocation import LEAST, allocate
from margin.analysis.behaviour.audit import Sample, _likeliest, corrected_share, recall
from margin.stats.clusters import Clusters
from margin.stats.estimate import Estimate
from tests.intervals import holds, lower, upper
from tests.simulations import Record

Truth = NDArray[np.bool_]


@dataclass(frozen=True)
class World:
    """Answers in clusters, what a person would say of them, and a judge that errs."""

    rate: float
    sensitivity: float
    specificity: float
    n: int = 300
    size: int = 1
    """Prompts of a cluster."""
    rho: float = 0.0
    """Correlation of the truth within clusters."""

    def audit(self, rng: np.random.Generator, m: int) -> tuple[Sample, Truth, Truth]:
        """A sample of m answers, the truth of each answer, and whether the judge says it of each stratum."""
        cluster = np.arange(self.n) // self.size
        rates = np.full(cluster.max() + 1, self.rate)
        if self.rho:
            a = (1 - self.rho) / self.rho
            rates = rng.beta(self.rate * a, (1 - self.rate) * a, len(rates))
        truth = rng.random(self.n) < rates[cluster]
        chance = rng.random(self.n)
        said = np.where(truth, chance < self.sensitivity, chance > self.specificity)
        of_stratum, stratum = np.unique(said, return_inverse=True)
        sizes = np.bincount(stratum)
        labelled = np.zeros(self.n, dtype=bool)
        for one, size in enumerate(allocate(sizes, np.zeros(len(sizes), dtype=np.intp), m)):
            labelled[rng.choice(np.flatnonzero(stratum == one), size, replace=False)] = True
        over = Clusters(cluster) if self.size > 1 else None
        return Sample(stratum, labelled, np.arange(self.n), over), truth, of_stratum

    def coverage(self, m: int, times: int, seed: int = 0) -> float:
        """How often the interval of the rate holds the true one."""
        rng = np.random.default_rng(seed)
        drawn = (self.audit(rng, m) for _ in range(times))
        return float(
            np.mean([holds(corrected_share(sample, truth), self.rate) for sample, truth, _ in drawn])
        )

    def coverages(self, m: int, times: int, seed: int = 0) -> dict[str, float]:
        """How often the intervals of the rate, and of sensitivity and specificity (every third time), hold
        the true ones."""
        rng = np.random.default_rng(seed)
        held: dict[str, list[bool]] = {"rate": [], "sensitivity": [], "specificity": []}
        for time in range(times):
            sample, truth, said = self.audit(rng, m)
            held["rate"].append(holds(corrected_share(sample, truth), self.rate))
            if time % 3:
                continue
            true = recall(sample, truth, said), recall(sample, ~truth, ~said)
            for name, found, value in zip(
                ("sensitivity", "specificity"), true, (self.sensitivity, self.specificity), strict=True
            ):
                if found is not None:
                    held[name].append(holds(found, value))
        return {name: float(np.mean(each)) for name, each in held.items()}


def whole(stratum: list[int]) -> Sample:
    """Everything labelled, one answer a prompt."""
    n = len(stratum)
    return Sample(np.array(stratum), np.ones(n, dtype=bool), np.arange(n))


def ends(found: Estimate) -> tuple[float, float]:
    return lower(found), upper(found)


@given(st.integers(0, 10_000), st.integers(2, 60), st.integers(1, 60))
def test_of_one_stratum_the_interval_is_wilsons(seed: int, n: int, m: int) -> None:
    m = min(m, n)
    truth = np.random.default_rng(seed).random(n) < 0.3
    found = corrected_share(Sample(np.zeros(n, dtype=int), np.arange(n) < m, np.arange(n)), truth)
    count = int(truth[:m].sum())
    exact = stats.binomtest(count, m).proportion_ci(0.95, "wilson")
    assert found.estimate == pytest.approx(count / m)
    assert ends(found) == pytest.approx((exact.low, exact.high), abs=1e-6)


@given(st.integers(0, 10_000))
def test_the_likeliest_proportions_are_those_that_a_general_optimiser_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    m = rng.integers(2, 20, 3).astype(float)
    x = np.clip(rng.binomial(m.astype(int), 0.4), 1, m - 1).astype(float)
    a = rng.uniform(-1, 1, 3)
    total = float(a @ rng.uniform(0.1, 0.9, 3))

    def loss(p: NDArray[np.float64]) -> float:
        return -float(x @ np.log(p) + (m - x) @ np.log(1 - p))

    best = optimize.minimize(
        loss,
        np.full(3, 0.5),
        bounds=[(1e-6, 1 - 1e-6)] * 3,
        constraints={"type": "eq", "fun": lambda p: a @ p - total},
        options={"ftol": 1e-12, "maxiter": 500},
    )
    found = _likeliest(x, m, a, total)
    assert a @ found == pytest.approx(total, abs=1e-8)
    assert loss(found) <= best.fun + 1e-6


def test_where_every_answer_is_labelled_the_numbers_are_the_counted_ones() -> None:
    rng = np.random.default_rng(1)
    judge, truth = rng.integers(0, 3, 200), rng.integers(0, 3, 200)
    sample = whole(judge.tolist())
    by_label = recall_score(truth, judge, average=None)
    for label in range(3):
        called, said = truth == label, np.arange(3) == label
        assert corrected_share(sample, called).estimate == pytest.approx(called.mean())
        found = recall(sample, called, said)
        assert found is not None
        assert found.estimate == pytest.approx(by_label[label])
        reverse = recall(sample, ~called, ~said)
        assert reverse is not None
        assert reverse.estimate == pytest.approx(np.mean(judge[~called] != label))


def test_the_opposite_label_mirrors_the_rate() -> None:
    sample, truth, _ = World(0.2, 0.8, 0.9).audit(np.random.default_rng(5), 50)
    found, other = corrected_share(sample, truth), corrected_share(sample, ~truth)
    assert other.estimate == pytest.approx(1 - found.estimate)
    assert ends(other) == pytest.approx((1 - upper(found), 1 - lower(found)), abs=1e-6)


def test_without_any_disagreement_the_interval_keeps_a_width_that_falls_with_the_sample() -> None:
    said = np.arange(300) < 90
    widths = []
    for m in (4, 20, 100):
        labelled = np.zeros(300, dtype=bool)
        labelled[: m // 2] = labelled[90 : 90 + m // 2] = True
        found = corrected_share(Sample((~said).astype(int), labelled, np.arange(300)), said)
        assert found.estimate == pytest.approx(0.3)
        assert lower(found) < 0.3 - 0.04
        assert upper(found) > 0.3 + 0.04
        widths.append(upper(found) - lower(found))
    assert widths[0] > 1.5 * widths[1]
    assert widths[1] > 1.5 * widths[2]


def test_of_a_label_that_nobody_gave_there_is_no_sensitivity_and_a_bound_of_its_rate() -> None:
    sample, _, said = World(0.3, 0.9, 0.9).audit(np.random.default_rng(0), 50)
    nothing = np.zeros(300, dtype=bool)
    assert recall(sample, nothing, said) is None
    found = corrected_share(sample, nothing)
    assert (found.estimate, found.low) == (0, 0)
    assert 0.03 < upper(found) < 0.2


def test_a_stratum_that_was_sampled_thinly_widens_the_interval() -> None:
    stratum = np.repeat([0, 1], 150)
    found = []
    for thin in (2, 25):
        labelled = (np.arange(300) < 50 - thin) | ((np.arange(300) >= 150) & (np.arange(300) < 150 + thin))
        found.append(corrected_share(Sample(stratum, labelled, np.arange(300)), np.zeros(300, dtype=bool)))
    assert upper(found[0]) > 3 * upper(found[1])


def test_copies_of_an_answer_tell_no_more_than_one() -> None:
    """Three copies of each prompt in a cluster, all labelled: nearly the interval of the originals."""
    rng = np.random.default_rng(2)
    truth = rng.random(80) < 0.4
    judge = np.where(rng.random(80) < 0.8, truth, ~truth).astype(int)
    alone = corrected_share(whole(judge.tolist()), truth)
    copied, one = np.repeat(truth, 3), np.repeat(judge, 3)
    everything, prompts = np.ones(240, dtype=bool), np.arange(240)
    clustered = corrected_share(Sample(one, everything, prompts, Clusters(prompts // 3)), copied)
    drawn = corrected_share(Sample(one, everything, prompts // 3), copied)
    naive = corrected_share(Sample(one, everything, prompts), copied)
    assert (clustered.n_prompts, clustered.n_clusters) == (240, 80)
    assert (drawn.n_prompts, drawn.n_clusters) == (80, None)
    for found in (clustered, drawn):
        assert ends(found) == pytest.approx(ends(alone), abs=0.01)
    assert upper(naive) - lower(naive) < 0.65 * (upper(alone) - lower(alone))


def test_few_answers_of_a_kind_say_little_of_how_well_it_is_known() -> None:
    """One leaves nearly everything open; the interval of the sensitivity falls with how many there are."""
    widths = []
    for hits in (1, 3, 20):
        truth = np.arange(200) < hits
        found = recall(whole([0] * 100 + [1] * 100), truth, np.array([True, False]))
        assert found is not None
        assert (found.estimate, found.high) == (1, 1)
        widths.append(1 - lower(found))
    assert widths[0] > 0.9 > widths[1] > 2 * widths[2]


def test_intervals_of_the_sensitivity_cover_where_few_are_found() -> None:
    assert World(0.05, 0.85, 0.85).coverages(50, 360)["sensitivity"] >= 0.9


def test_counted_on_the_sample_alone_the_sensitivity_would_be_biased() -> None:
    """The judge seldom says it, so that what it says is labelled more often than what it does not."""
    world, rng, ours, counted = World(0.1, 0.6, 0.98), np.random.default_rng(0), [], []
    for _ in range(120):
        sample, truth, said = world.audit(rng, 60)
        seen = sample.labelled & truth
        found = recall(sample, truth, said)
        if found is not None:
            ours.append(found.estimate)
            counted.append(said[sample.stratum][seen].mean())
    assert np.mean(counted) > 0.6 + 0.1
    assert abs(np.mean(ours) - 0.6) < 0.06


@given(
    st.lists(st.tuples(st.integers(1, 90), st.integers(0, 3)), min_size=1, max_size=12), st.integers(1, 400)
)
def test_the_allocation_gives_every_stratum_its_least_and_conditions_alike(
    strata: list[tuple[int, int]], total: int
) -> None:
    sizes, condition = (
        np.array([s for s, _ in strata]),
        np.unique([c for _, c in strata], return_inverse=True)[1],
    )
    least = np.minimum(sizes, LEAST)
    if total < least.sum():
        with pytest.raises(ValueError, match="strata need"):
            allocate(sizes, condition, total)
        return
    drawn = allocate(sizes, condition, total)
    assert drawn.sum() == min(total, sizes.sum())
    assert (drawn >= least).all()
    assert (drawn <= sizes).all()
    of_condition, room = np.bincount(condition, drawn), np.bincount(condition, sizes - drawn)
    floor = np.bincount(condition, least)
    for one in np.flatnonzero(room):  # whoever could get more has no fewer than others beyond their least
        others = of_condition > floor
        assert not others.any() or of_condition[one] >= of_condition[others].max() - 1


@pytest.mark.parametrize(("rate", "m"), [(0.02, 50), (0.3, 50), (0.95, 100)])
def test_intervals_cover_however_badly_the_judge_does(rate: float, m: int) -> None:
    assert World(rate, 0.7, 0.75).coverage(m, 120) >= 0.9


def test_the_judges_own_interval_would_not() -> None:
    """What is mended: an exact interval of the rate of a judge of sensitivity .7 and specificity .75."""
    rng, held = np.random.default_rng(0), 0
    for _ in range(100):
        sample, _, said = World(0.3, 0.7, 0.75).audit(rng, 50)
        count = int(said[sample.stratum].sum())
        exact = stats.binomtest(count, 300).proportion_ci(0.95, "exact")
        held += exact.low <= 0.3 <= exact.high
    assert held < 40


def test_intervals_cover_over_clusters() -> None:
    assert World(0.3, 0.8, 0.85, size=6, rho=0.5).coverage(100, 120) >= 0.9


ERRORS = [(1.0, 0.7), (0.7, 1.0), (0.7, 0.7), (0.85, 0.85), (0.95, 0.95)]
"""Sensitivity and specificity."""


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.02, 0.05, 0.1, 0.3, 0.5, 0.8, 0.95])
@pytest.mark.parametrize("m", [50, 100])
def test_coverage_of_corrected_rates(rate: float, m: int, record_figures: Record) -> None:
    for sensitivity, specificity in ERRORS:
        found = World(rate, sensitivity, specificity).coverages(m, 400)
        about = f"rate {rate}, {m} labelled, sensitivity {sensitivity}, specificity {specificity}"
        record_figures(about, found)
        assert found["rate"] >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.05, 0.3, 0.8])
@pytest.mark.parametrize(("size", "rho"), [(6, 0.3), (6, 0.7), (15, 0.5)])
def test_coverage_over_clusters(rate: float, size: int, rho: float, record_figures: Record) -> None:
    for m in (50, 100):
        found = World(rate, 0.8, 0.85, size=size, rho=rho).coverages(m, 250)
        record_figures(f"rate {rate}, {m} labelled, {300 // size} clusters of {size}, rho {rho}", found)
        assert found["rate"] >= 0.9
