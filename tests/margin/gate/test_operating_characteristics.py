"""How often the gate errs, and how often it finds, where the truth is known."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy import optimize

from margin.gate.check import decide
from margin.gate.claims import POWER
from margin.gate.limits import prompts_for_share
from margin.gate.policy import Policy
from margin.gate.verdict import Verdict
from tests.margin.gate.releases import Hang, draw_prompts, measurement
from tests.simulations import Record

WEAKER = 0.93
ALONE = Hang()
CLUSTERS = Hang(each=6, rho=0.5)
SETTINGS = {
    "independent": ALONE,
    "clusters of 6, rho .5": CLUSTERS,
    "clusters of 6, rho .5, t 3": Hang(each=6, rho=0.5, tails=3),
    "t 2.5": Hang(tails=2.5),
}


@cache
def true_drop(n: int = 20_000, hang: Hang = ALONE) -> float:
    """The largest of the drops (overall, pairs) of a release at strength `WEAKER`, from very many prompts."""
    rng = np.random.default_rng(99)
    prompts = draw_prompts(n, rng, hang=hang)
    before, after = (measurement(prompts, prompts.points(s, rng), sliced=False) for s in (1, WEAKER))
    return max(was.estimate - now.estimate for was, now in zip(before.margins, after.margins, strict=True))


def verdict(
    n: int,
    strength: float,
    policy: Policy,
    rng: np.random.Generator,
    sliced: bool = False,
    hang: Hang = ALONE,
    clustered: bool = True,
    own: float = 0.2,
) -> Verdict:
    """The gate's, on n fresh prompts, of a release at `strength` against one at 1."""
    prompts = draw_prompts(n, rng, hang=hang)
    before, after = (
        measurement(prompts, prompts.points(s, rng, own), sliced, clustered=clustered) for s in (1, strength)
    )
    return decide(before, after, policy)


def outcomes(
    n: int,
    sims: int,
    seed: int,
    strength: float = WEAKER,
    max_drop: float | str | None = None,
    pairs: bool = True,
    **setting: Any,
) -> dict[str, float]:
    """Shares of outcomes; unless told otherwise of a release whose worst drop is exactly what is allowed."""
    rng = np.random.default_rng(seed)
    limit = true_drop(hang=setting.get("hang", ALONE)) if max_drop is None else max_drop
    policy = Policy(max_drop=limit, pairs=pairs)
    count = Counter(verdict(n, strength, policy, rng, **setting).outcome for _ in range(sims))
    return {outcome: count[outcome] / sims for outcome in ("pass", "regression", "inconclusive")}


def share_settled(strength: float, max_drop: float, outcome: str, sims: int, seed: int) -> float:
    """Of the checks that end inconclusive on 25 prompts and are repeated with as many as they name, the share
    that then ends in `outcome`. Those that name more than 3,000 would take long, and are left out.
    """
    rng = np.random.default_rng(seed)
    found: list[str] = []
    while len(found) < sims:
        pilot = verdict(25, strength, Policy(max_drop), rng)
        if pilot.outcome == "inconclusive" and pilot.prompts_needed and pilot.prompts_needed <= 3000:
            found.append(verdict(pilot.prompts_needed, strength, Policy(max_drop), rng).outcome)
    return found.count(outcome) / sims


def test_at_the_edge_neither_error_is_frequent() -> None:
    """Nominal .05 each; Monte Carlo error .018 (150 checks)."""
    shares = outcomes(n=60, sims=150, seed=0)
    assert shares["regression"] <= 0.07 + 2 * 0.018
    assert shares["pass"] <= 0.07 + 2 * 0.018


@pytest.mark.parametrize(
    ("strength", "allowed", "outcome"),
    [(1.0, 1.0, "pass"), (WEAKER, 0.5, "regression")],
    ids=["as good", "twice"],
)
def test_the_prompts_it_asks_for_settle_the_question(strength: float, allowed: float, outcome: str) -> None:
    """A release as good, and one down by twice what is allowed. Monte Carlo error .07 (30 repeats)."""
    assert share_settled(strength, allowed * true_drop(), outcome, sims=30, seed=0) >= POWER - 0.14


@pytest.mark.slow
@pytest.mark.parametrize("n", [30, 100, 300])
def test_at_the_edge_neither_error_is_frequent_at_full_size(n: int, record_figures: Record) -> None:
    """Monte Carlo error .005 (2,000 checks); claims: overall, three pairs, and slices of enough prompts."""
    shares = outcomes(n, sims=2000, seed=1, sliced=True)
    record_figures(f"{n} prompts, at the edge", shares)
    assert shares["regression"] <= 0.07
    assert shares["pass"] <= 0.07


@pytest.mark.slow
def test_the_prompts_it_asks_for_settle_the_question_at_full_size(record_figures: Record) -> None:
    """Monte Carlo error .018 (500 repeated checks)."""
    limit = true_drop()
    for strength, max_drop, outcome in ((1.0, limit, "pass"), (WEAKER, limit / 2, "regression")):
        share = share_settled(strength, max_drop, outcome, sims=500, seed=1)
        record_figures(f"strength {strength}", {outcome: share, "promised": POWER})
        assert share >= POWER


ROUGH = 0.8
"""Noise of a release's own at which prompts' parts in the margins of two equal releases correlate at .5."""


def recommended(hang: Hang = ALONE) -> int:
    """Prompts at which the smallest drop is the most that is allowed unasked, as a pilot run says."""
    rng = np.random.default_rng(7)
    prompts = draw_prompts(1200, rng, hang=hang)
    n = prompts_for_share(measurement(prompts, prompts.points(1, rng, ROUGH), sliced=False))
    assert n is not None
    return n


def test_clusters_that_are_ignored_raise_false_alarms_and_those_counted_do_not() -> None:
    """Thirty clusters of six; nominal .05, Monte Carlo error .022 (100 checks)."""
    counted = outcomes(n=180, sims=100, seed=0, hang=CLUSTERS)
    ignored = outcomes(n=180, sims=100, seed=0, hang=CLUSTERS, clustered=False)
    assert counted["regression"] <= 0.07 + 2 * 0.022
    assert counted["pass"] <= 0.07 + 2 * 0.022
    assert ignored["regression"] > counted["regression"] + 2 * 0.022


def test_a_release_as_good_passes_unasked_at_the_prompts_recommended() -> None:
    """Promised .8, Monte Carlo error .06 (50 checks)."""
    found = outcomes(recommended(), 50, seed=0, strength=1, max_drop="auto", pairs=False, own=ROUGH)
    assert found["pass"] >= POWER - 2 * 0.06


@pytest.mark.slow
@pytest.mark.parametrize("setting", SETTINGS)
def test_under_clusters_and_heavy_tails_at_full_size(setting: str, record_figures: Record) -> None:
    """At the edge of what is allowed, 40 units; Monte Carlo error .01 (500 checks)."""
    hang = SETTINGS[setting]
    shares = outcomes(40 * hang.each, 500, seed=1, hang=hang)
    record_figures(f"{setting}: at the edge", shares)
    if hang.each > 1:
        ignored = outcomes(40 * hang.each, 300, seed=1, hang=hang, clustered=False)
        record_figures(f"{setting}: at the edge, counted as independent", ignored)
    assert shares["regression"] <= 0.07 + 2 * 0.01
    assert shares["pass"] <= 0.07 + 2 * 0.01


@pytest.mark.slow
@pytest.mark.parametrize("setting", SETTINGS)
def test_the_limits_taken_unasked_at_full_size(setting: str, record_figures: Record) -> None:
    """At the prompts recommended: a release as good passes, one that lost half its margin does not.

    Monte Carlo error .023 (300 checks).
    """
    hang = SETTINGS[setting]
    n = recommended(hang)
    options: dict[str, Any] = {"max_drop": "auto", "own": ROUGH, "hang": hang, "pairs": False}
    equal = outcomes(n, 300, seed=1, strength=1, **options)
    halved = outcomes(n, 300, seed=2, strength=half_as_far(hang), **options)
    record_figures(f"{setting}: {n} prompts, as good", equal)
    record_figures(f"{setting}: {n} prompts, half the margin", halved)
    assert equal["pass"] >= POWER - 2 * 0.023
    assert equal["regression"] <= 0.07
    assert halved["pass"] <= 0.05


def half_as_far(hang: Hang, n: int = 5000) -> float:
    """The strength at which half of the margin is left."""
    rng = np.random.default_rng(3)
    prompts = draw_prompts(n, rng, hang=hang)

    def margin(strength: float) -> float:
        points = prompts.points(strength, np.random.default_rng(4), ROUGH)
        return measurement(prompts, points, sliced=False).overall.estimate

    whole = margin(1)
    return float(optimize.brentq(lambda strength: margin(strength) - whole / 2, 0.3, 1, xtol=0.01))
