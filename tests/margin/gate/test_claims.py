"""Claims against SciPy's tests of the same question."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from margin.analysis.comparison import compare
from margin.analysis.slices import MIN_PROMPTS
from margin.analysis.space import Coordinates
from margin.gate.claims import drop_claim, floor_claim, leak_claim, prompts_to_settle
from margin.gate.measurement import ALPHA, Leak, MeasuredMargin, Measurement, prompt_changes
from tests.intervals import lower, upper
from tests.margin.gate.releases import Prompts, draw_prompts, measurement


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
