"""Openings agree with the landing rule of the report; a guesser's chances with counting."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from margin.analysis.openings import Openings, guessing, guessing_curve, worth
from margin.analysis.robustness.assignment import assign
from margin.inputs.condition import Rule
from margin.stats.intervals import mean_share, share_of_prompts


@pytest.mark.parametrize("rule", ["centroid", "discriminant"])
def test_they_are_where_the_landing_rule_puts_them(rule: Rule) -> None:
    rng = np.random.default_rng(0)
    n, k, d, m = 30, 3, 5, 40
    centres = rng.normal(size=(k, d)) * 2
    known = centres + rng.normal(size=(n, 1, d)) + 0.5 * rng.normal(size=(n, k, d))
    prompt = rng.integers(n, size=m)
    points = centres[rng.integers(k, size=m)] + rng.normal(size=(m, d)) * 2
    fold = np.arange(n) % 5
    every = np.concatenate([known.reshape(n * k, d), points])
    reference = np.arange(n * k).reshape(n, k)
    landing = assign(rule, every, reference, np.concatenate([np.repeat(np.arange(n), k), prompt]), fold)
    target = np.array([False, True, False])
    openings = Openings(rule, known, fold, target)
    nearest = landing.nearest[n * k :]
    assert (openings.distances(points, prompt).argmin(axis=1) == nearest).all()
    assert ((openings.depth(points, prompt) > 0) == target[nearest]).all()
    assert 0 < target[nearest].mean() < 1


def test_chances_are_those_of_counting_every_choice_of_strings() -> None:
    opens = np.array([[1, 0, 0, 1, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1], [0, 0, 1, 0, 0]], dtype=bool)
    tries = np.array([1, 2, 4, 5])
    found = guessing(opens, tries)
    for row, own in enumerate(opens):
        for place, n in enumerate(tries):
            chosen = [own[list(some)].any() for some in combinations(range(5), int(n))]
            assert found[row, place] == pytest.approx(np.mean(chosen))


def test_the_curve_never_falls_and_begins_at_the_rate() -> None:
    opens = np.random.default_rng(0).random((40, 16)) < 0.1
    curve = guessing_curve(opens, np.array([1, 2, 4, 8, 16]))
    values = [chance.estimate for chance in curve]
    assert values == sorted(values)
    assert values[0] == pytest.approx(opens.mean())
    assert values[-1] == pytest.approx(opens.any(axis=1).mean())
    assert all(c.low is not None and c.low <= c.estimate <= (c.high or 0) for c in curve)


def test_bits_are_of_the_rate_and_an_end_that_is_not_known_is_none() -> None:
    half = worth(mean_share(np.full(40, 0.5)))
    assert half.estimate == pytest.approx(1.0)
    never = worth(share_of_prompts(np.zeros(100, dtype=bool)))
    assert never.high is None
    assert never.estimate == never.low == pytest.approx(-np.log2(0.0362), abs=0.01)


@pytest.mark.parametrize("rule", ["centroid", "discriminant"])
def test_the_slope_is_that_of_small_steps(rule: Rule) -> None:
    rng = np.random.default_rng(1)
    n, k, d, m = 30, 4, 5, 12
    known = rng.normal(size=(k, d)) * 2 + rng.normal(size=(n, k, d))
    prompt, points = rng.integers(n, size=m), rng.normal(size=(m, d)) * 2
    openings = Openings(rule, known, np.arange(n) % 5, np.array([False, True, False, True]))
    step = 1e-6 * np.eye(d)
    ahead, behind = (
        np.stack([openings.depth(points + sign * own, prompt) for own in step], axis=1) for sign in (1, -1)
    )
    assert openings.slope(points, prompt) == pytest.approx((ahead - behind) / 2e-6, abs=1e-6)
