"""How often the gate errs, and how often it finds, where the truth is known."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from margin.gate.check import Policy, decide
from margin.gate.claims import POWER
from margin.gate.verdict import Verdict
from tests.margin.gate.releases import draw_prompts, measurement
from tests.simulations import Record

WEAKER = 0.93


def true_drop(n: int = 20_000) -> float:
    """The largest of the drops (overall, pairs) of a release at strength `WEAKER`, from very many prompts."""
    rng = np.random.default_rng(99)
    prompts = draw_prompts(n, rng)
    before, after = (measurement(prompts, prompts.points(s, rng), sliced=False) for s in (1, WEAKER))
    return max(was.estimate - now.estimate for was, now in zip(before.margins, after.margins, strict=True))


def verdict(
    n: int, strength: float, max_drop: float, rng: np.random.Generator, sliced: bool = False
) -> Verdict:
    """The gate's, on n fresh prompts, of a release at `strength` against one at 1."""
    prompts = draw_prompts(n, rng)
    before, after = (measurement(prompts, prompts.points(s, rng, own=0.2), sliced) for s in (1, strength))
    return decide(before, after, Policy(max_drop=max_drop))


def outcomes_at_the_edge(n: int, sims: int, seed: int, sliced: bool) -> dict[str, float]:
    """Shares of outcomes for a release whose worst drop is exactly what is allowed."""
    rng = np.random.default_rng(seed)
    limit = true_drop()
    count = Counter(verdict(n, WEAKER, limit, rng, sliced).outcome for _ in range(sims))
    return {outcome: count[outcome] / sims for outcome in ("pass", "regression", "inconclusive")}


def share_settled(strength: float, max_drop: float, outcome: str, sims: int, seed: int) -> float:
    """Of the checks that end inconclusive on 25 prompts and are repeated with as many as they name, the share
    that then ends in `outcome`. Those that name more than 3,000 would take long, and are left out.
    """
    rng = np.random.default_rng(seed)
    found: list[str] = []
    while len(found) < sims:
        pilot = verdict(25, strength, max_drop, rng)
        if pilot.outcome == "inconclusive" and pilot.prompts_needed and pilot.prompts_needed <= 3000:
            found.append(verdict(pilot.prompts_needed, strength, max_drop, rng).outcome)
    return found.count(outcome) / sims


def test_at_the_edge_neither_error_is_frequent() -> None:
    """Nominal .05 each; Monte Carlo error .018 (150 checks)."""
    shares = outcomes_at_the_edge(n=60, sims=150, seed=0, sliced=False)
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
    shares = outcomes_at_the_edge(n, sims=2000, seed=1, sliced=True)
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
