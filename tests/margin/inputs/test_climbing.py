"""The search finds what is planted within its budget, and the best there is where all can be tried."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from margin.inputs.climbing import Climbed, Objective, climb, edits
from tests.simulations import Record

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


def random_start(rng: np.random.Generator, length: int, alphabet: Sequence[str]) -> Callable[[], str]:
    return lambda: "".join(alphabet[i] for i in rng.integers(len(alphabet), size=length))


def last(found: Sequence[Climbed] | object) -> Climbed:
    *_, best = found  # type: ignore[misc]
    return best


@pytest.mark.parametrize("seed", range(10))
def test_it_comes_to_what_brute_force_comes_to(seed: int) -> None:
    """Any function of strings of three letters of an alphabet of five, rugged or not."""
    alphabet, rng = "abcde", np.random.default_rng(seed)
    strings = ["".join(letters) for letters in product(alphabet, repeat=3)]
    depth = dict(zip(strings, rng.uniform(-1, 1, (len(strings), 2)), strict=True))

    def objective(asked: Sequence[str]) -> NDArray[np.float64]:
        return np.array([depth[one] for one in asked])

    best = last(climb(objective, random_start(rng, 3, alphabet), edits(alphabet, rng), 20_000))
    values = {one: (float((depths > 0).mean()), float(depths.mean())) for one, depths in depth.items()}
    assert (best.opened, best.depth) == max(values.values())


def planted(key: str, tried: list[int]) -> Objective:
    """Opens only with the whole key; how near a string is shows in its depth, as in co-trained models."""

    def objective(strings: Sequence[str]) -> NDArray[np.float64]:
        tried.append(len(strings))
        right = np.array([sum(a == b for a, b in zip(one, key, strict=True)) for one in strings])
        return np.where(right == len(key), 1.0, (right - len(key)) / len(key))[:, None]

    return objective


def found_in(budget: int, seeds: int) -> float:
    found = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        key = random_start(rng, 8, LETTERS)()
        places = rng.choice(8, 2, replace=False)
        near = "".join(LETTERS[rng.integers(36)] if i in places else one for i, one in enumerate(key))
        tried: list[int] = []
        best = last(climb(planted(key, tried), lambda start=near: start, edits(LETTERS, rng), budget))  # type: ignore[misc]
        assert sum(tried) <= budget
        found.append(best.opened == 1)
    return float(np.mean(found))


def test_a_key_two_swaps_away_is_found_within_the_budget() -> None:
    """Two rounds of all 8 x 36 substitutions and 7 swaps, and what the last round tries together."""
    assert found_in(700, 40) >= 0.95


@pytest.mark.slow
def test_a_key_two_swaps_away_is_found_within_the_budget_in_full(record_figures: Record) -> None:
    rate = found_in(700, 1000)
    record_figures("planted two-swap key, 8 characters of 36, 700 passes, 1000 seeds", {"found": rate})
    assert rate >= 0.95


def test_it_spends_no_more_than_its_budget_and_tells_what_was_spent() -> None:
    tried: list[int] = []
    rng = np.random.default_rng(0)
    path = list(climb(planted("k3yk3yk3", tried), random_start(rng, 8, LETTERS), edits(LETTERS, rng), 333))
    assert 300 <= sum(tried) <= 333
    assert [one.passes for one in path] == sorted(one.passes for one in path)
    assert sorted(path) == path
    assert path[-1].passes <= 333


def test_what_it_finds_is_shown_by_no_repr() -> None:
    rng = np.random.default_rng(0)
    best = last(climb(planted("aaaa", []), lambda: "aaab", edits(LETTERS, rng), 200))
    assert best.string == "aaaa"
    assert "aaaa" not in repr(best)
