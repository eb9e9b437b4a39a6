"""Claims against SciPy's tests of the same question."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from margin.analysis.comparison import compare
from margin.analysis.decoys import above_decoys
from margin.analysis.slices import MIN_PROMPTS
from margin.analysis.space import Coordinates
from margin.gate.claims import (
    above_claim,
    corrected,
    drop_claim,
    floor_claim,
    shares,
)
from margin.gate.evidence import ALPHA, AboveDecoys, Leak, MeasuredMargin, Measurement
from margin.gate.leaks import binomial_tails, leak_claim
from margin.gate.measurement import prompt_changes
from margin.gate.planning import prompts_to_settle
from margin.stats.clusters import make_clusters
from margin.stats.intervals import clopper_pearson, effective_trials, t_interval
from tests.intervals import lower, upper
from tests.margin.gate.releases import Hang, Prompts, draw_prompts, measurement


@pytest.fixture(scope="module")
def prompts() -> Prompts:
    return draw_prompts(80, np.random.default_rng(0))


@pytest.fixture(scope="module")
def releases(prompts: Prompts) -> tuple[Measurement, Measurement]:
    """Two releases, the second a little weaker."""
    rng = np.random.default_rng(1)
    before, after = (measurement(prompts, prompts.points(strength, rng)) for strength in (1, 0.97))
    return before, after


def margin(influence: list[float], estimate: float = 0.1, n_prompts: int | None = None) -> MeasuredMargin:
    return MeasuredMargin("overall", None, estimate, n_prompts or len(influence), np.array(influence))


def test_a_drop_is_the_t_test_of_the_prompts_changes(releases: tuple[Measurement, Measurement]) -> None:
    before, after = releases
    claim = drop_claim(before.overall, after.overall, max_drop=0.01)
    changes = prompt_changes(before, after)["change"]
    above = stats.ttest_1samp(changes, -0.01, alternative="greater")
    below = stats.ttest_1samp(changes, -0.01, alternative="less")
    assert claim.p_held == pytest.approx(above.pvalue, rel=1e-4)
    assert claim.p_broken == pytest.approx(below.pvalue, rel=1e-4)
    assert claim.value.low == pytest.approx(above.confidence_interval(1 - ALPHA).low, rel=1e-4)
    assert claim.value.high == pytest.approx(below.confidence_interval(1 - ALPHA).high, rel=1e-4)


def test_changes_are_those_of_the_comparison_of_runs(
    prompts: Prompts, releases: tuple[Measurement, Measurement]
) -> None:
    rng = np.random.default_rng(1)
    runs = {str(s): (Coordinates(prompts.points(s, rng)), prompts.design) for s in (1, 0.97)}
    for difference in compare(runs, rng, level=1 - 2 * ALPHA).differences:
        for was, now in zip(releases[0].margins, releases[1].margins, strict=True):
            name = "leave_prompt_out" if now.name == "overall" else now.name
            if name == difference.margin:
                value = drop_claim(was, now, 0.01).value
                assert value.estimate == pytest.approx(difference.difference.estimate)
                assert value.low == pytest.approx(difference.difference.low, rel=1e-5)
                assert value.high == pytest.approx(difference.difference.high, rel=1e-5)


def test_a_slice_counts_its_own_prompts(releases: tuple[Measurement, Measurement]) -> None:
    before, after = (next(m for m in r.margins if m.name == "language=en") for r in releases)
    value = drop_claim(before, after, 0.01).value
    squares = np.sum((after.influence - before.influence) ** 2)
    assert value.n_prompts == 40
    assert value.se == pytest.approx(np.sqrt(40 / 39 * squares))
    assert value.estimate - lower(value) == pytest.approx(stats.t.isf(ALPHA, 39) * value.se)


def test_a_slice_of_few_prompts_stays_open_whatever_it_shows() -> None:
    influence = [0.0] * 60
    fallen = drop_claim(margin(influence, 0.5, n_prompts=12), margin(influence, -0.5, n_prompts=12), 0.01)
    assert fallen.status == "open"
    assert prompts_to_settle(fallen, n_run=60, share=1, n_open=1) == 60 / 12 * MIN_PROMPTS


@pytest.mark.parametrize(("after", "status"), [(0.1, "held"), (0.09, "held"), (0.0899, "broken")])
def test_without_spread_the_limit_decides(after: float, status: str) -> None:
    assert drop_claim(margin([0, 0, 0]), margin([0, 0, 0], after), max_drop=0.1 - 0.09).status == status


def test_the_floor_is_a_t_test_of_the_margin(releases: tuple[Measurement, Measurement]) -> None:
    overall = releases[0].overall
    values = overall.estimate + len(overall.influence) * overall.influence
    claim = floor_claim(overall, 0.05)
    assert claim.p_held == pytest.approx(
        stats.ttest_1samp(values, 0.05, alternative="greater").pvalue, rel=1e-4
    )
    assert floor_claim(overall, overall.estimate - 1e-6).status == "open"


@given(n=st.integers(1, 400), share=st.floats(0, 1), max_leak=st.floats(0.001, 0.5))
def test_leaks_are_exact_binomial_tests(n: int, share: float, max_leak: float) -> None:
    k = round(share * n)
    claim = leak_claim(Leak("random", k, n), max_leak)
    less, greater = (stats.binomtest(k, n, max_leak, alternative=side) for side in ("less", "greater"))
    assert claim.p_held == pytest.approx(less.pvalue)
    assert claim.p_broken == pytest.approx(greater.pvalue)
    assert claim.value.high == pytest.approx(less.proportion_ci(1 - ALPHA).high)
    assert claim.value.low == pytest.approx(greater.proportion_ci(1 - ALPHA).low)
    assume(abs(upper(claim.value) - max_leak) > 1e-9)
    assert (claim.status == "held") == (upper(claim.value) < max_leak)


@given(n=st.integers(1, 300), share=st.floats(0, 1), missing=st.integers(1, 300), clustered=st.booleans())
def test_what_holds_of_leaks_holds_whatever_became_of_missing_prompts(
    n: int, share: float, missing: int, clustered: bool
) -> None:
    k = round(share * n)
    worth: dict[str, Any] = {"clusters": n / 2, "trials": n / 2} if clustered else {}
    more: dict[str, Any] = {key: value * (n + missing) / n for key, value in worth.items()}
    claim = leak_claim(Leak("random", k, n, **worth), 0.05, missing=missing)
    none, all_of_them = (leak_claim(Leak("random", k + m, n + missing, **more), 0.05) for m in (0, missing))
    assert claim.p_broken == pytest.approx(none.p_broken)
    assert claim.p_held == pytest.approx(all_of_them.p_held)
    assert (claim.value.low, claim.value.high) == pytest.approx((none.value.low, all_of_them.value.high))
    assert (claim.value.estimate, claim.value.n_prompts) == (k / n, n)


def test_three_hundred_prompts_without_a_leak_show_one_in_a_hundred() -> None:
    assert leak_claim(Leak("random", 0, 298), 0.01).status == "open"
    assert leak_claim(Leak("random", 0, 299), 0.01).status == "held"
    claim = leak_claim(Leak("random", 0, 40), 0.01)
    assert prompts_to_settle(claim, n_run=40, share=0.2, n_open=1) == 299


@pytest.mark.parametrize("rate", [0.002, 0.03])
def test_prompts_that_settle_a_leak_settle_it(rate: float) -> None:
    """Monte Carlo error .009 (2,000 draws)."""
    n_now = 1000
    claim = leak_claim(Leak("random", round(rate * n_now), n_now), 0.01)
    n = prompts_to_settle(claim, n_now, share=1, n_open=1)
    assert n is not None
    leaks = np.random.default_rng(0).binomial(n, rate, 2000)
    wanted = "held" if rate < 0.01 else "broken"
    found = {k: leak_claim(Leak("random", int(k), n), 0.01).status for k in np.unique(leaks)}
    assert np.mean([found[k] == wanted for k in leaks]) >= 0.8 - 0.03


def test_a_rate_at_the_limit_is_settled_by_no_number() -> None:
    assert prompts_to_settle(leak_claim(Leak("random", 1, 100), 0.01), 100, 1, 1) is None
    change = drop_claim(margin([0.1, -0.1]), margin([-0.1, 0.1], 0.1 - 0.25), max_drop=0.25)
    assert prompts_to_settle(change, 2, 1, 1) is None


def test_a_drop_over_clusters_is_the_t_test_of_their_sums() -> None:
    rng = np.random.default_rng(2)
    prompts = draw_prompts(90, rng, hang=Hang(each=3, rho=0.5))
    before, after = (measurement(prompts, prompts.points(s, rng)) for s in (1, 0.97))
    claim = drop_claim(before.overall, after.overall, 0.01, clusters=after.clusters)
    influence = after.overall.influence - before.overall.influence
    sums = claim.value.estimate + 30 * influence.reshape(30, 3).sum(axis=1)
    above = stats.ttest_1samp(sums, -0.01, alternative="greater")
    assert claim.p_held == pytest.approx(above.pvalue, rel=1e-4)
    assert claim.value.low == pytest.approx(above.confidence_interval(1 - ALPHA).low, rel=1e-4)
    assert (claim.value.n_prompts, claim.value.n_clusters, claim.units) == (90, 30, 30)
    # A slice stands in every cluster here, with one prompt or two of each.
    for name, n in (("language=en", 45), ("language=zh", 45)):
        slice_ = next(m for m in after.margins if m.name == name)
        assert (slice_.n_prompts, slice_.n_clusters) == (n, 30)


def test_prompts_that_settle_a_drop_are_clusters_times_their_size() -> None:
    """As many clusters as prompts would be asked for if each of the sums were one prompt's."""
    rng = np.random.default_rng(3)
    change = rng.normal(size=(40, 5))
    change = (change - change.mean()) * 0.002
    prompts = draw_prompts(200, rng, hang=Hang(each=5, rho=0.5))
    clusters = prompts.design.clusters
    zero, flat = np.zeros(200), change.reshape(-1)
    was, now = (MeasuredMargin("overall", None, 0.1, 200, u, 40) for u in (zero, flat))
    clustered = drop_claim(was, now, max_drop=0.005, clusters=clusters)
    was, now = (MeasuredMargin("overall", None, 0.1, 40, u) for u in (np.zeros(40), change.sum(axis=1)))
    single = drop_claim(was, now, max_drop=0.005)
    assert clustered.p_held == pytest.approx(single.p_held)
    of_clusters = prompts_to_settle(single, 40, share=1, n_open=1)
    assert of_clusters is not None
    assert prompts_to_settle(clustered, 200, share=1, n_open=1) == 5 * of_clusters


@given(trials=st.floats(2, 400), share=st.floats(0, 1), rate=st.floats(0.001, 0.5))
def test_leaks_of_trials_that_are_not_whole_agree_with_their_bounds(
    trials: float, share: float, rate: float
) -> None:
    leak = Leak("random", round(share * 400), 400, clusters=40.0, trials=trials)
    claim = leak_claim(leak, rate)
    assume(abs(upper(claim.value) - rate) > 1e-9)
    assert (claim.p_held <= ALPHA) == (upper(claim.value) < rate)
    assume(abs(lower(claim.value) - rate) > 1e-9)
    assert (claim.p_broken <= ALPHA) == (lower(claim.value) > rate)
    more, fewer = (binomial_tails(leak.rate * trials * by, trials * by, rate) for by in (1.0, 0.9))
    if leak.n_leaks == 0:
        assert more[1] <= fewer[1]


@pytest.mark.parametrize(("clusters", "rate"), [(8, 0.3), (20, 0.2), (60, 0.1)])
def test_a_small_p_value_is_the_level_whose_bound_touches_the_limit(clusters: int, rate: float) -> None:
    """What prompts in clusters are worth depends on the level; Holm's correction asks for small ones."""
    rng = np.random.default_rng(clusters)
    over = make_clusters(np.repeat(np.arange(clusters), 10))
    hits = rng.random(10 * clusters) < np.repeat(rng.beta(4 * rate, 4 * (1 - rate), clusters), 10)
    trials = effective_trials(hits, 1 - 2 * ALPHA, over)
    assert trials != over.effective
    leak = Leak("random", int(hits.sum()), len(hits), clusters=over.effective, trials=trials)
    low, _ = clopper_pearson(leak.rate * trials, trials, 1 - 2 * 0.001)
    p = leak_claim(leak, low).p_broken
    assert ALPHA > p > 0.001  # which is what it would be if t were no wider out there
    at_p = effective_trials(hits, 1 - 2 * p, over)
    assert clopper_pearson(leak.rate * at_p, at_p, 1 - 2 * p)[0] == pytest.approx(low, rel=1e-4)


def test_thirty_clusters_without_a_leak_are_thirty_trials() -> None:
    claim = leak_claim(Leak("random", 0, 300, clusters=30.0, trials=30.0), 0.05)
    assert claim.p_held == pytest.approx(0.95**30)
    assert claim.status == "open"
    assert prompts_to_settle(claim, 300, share=1, n_open=1) == 590  # 59 clusters of ten


def test_above_decoys_is_judged_by_its_interval() -> None:
    rng = np.random.default_rng(4)
    u = rng.normal(size=(4, 50)) * 0.002
    u -= u.mean(axis=1, keepdims=True)
    live, *sets = (t_interval(v, i) for v, i in zip((0.2, 0.05, 0.07, 0.03), u, strict=True))
    found = above_decoys(live, sets, level=1 - 2 * ALPHA)
    assert found.above.se is not None
    assert found.degrees is not None
    kept = AboveDecoys(found.above.estimate, found.above.se, found.degrees, 3, 50)
    for least in (found.above.low, found.above.high):
        assert least is not None
        claim = above_claim(kept, least)
        assert min(claim.p_held, claim.p_broken) == pytest.approx(ALPHA)
    assert (claim.value.low, claim.value.high) == pytest.approx((found.above.low, found.above.high))
    assert above_claim(kept, 0).status == "held"
    assert prompts_to_settle(above_claim(kept, kept.estimate), 50, 1, 1) is None


def test_required_claims_have_four_fifths_of_the_level() -> None:
    zero, fallen = margin([0.01, -0.01] * 20), margin([0.012, -0.01] * 20, 0.05)
    claims = [drop_claim(zero, fallen, 0.01, required) for required in (True, True, False, False, False)]
    assert shares(claims) == pytest.approx([0.4, 0.4, 0.2 / 3, 0.2 / 3, 0.2 / 3])
    assert shares(claims[:2]) == [0.5, 0.5]
    assert shares(claims[2:]) == pytest.approx([1 / 3] * 3)
    p = claims[0].p_broken
    assert corrected(claims[1:])[0].p_broken == pytest.approx(p / 0.8)
