"""Exposure: its interval covers, an unknown token has none, and a known one has all that can be seen."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats

from margin.analysis.exposure import at_most, exposure
from tests.simulations import Record


def test_the_chance_of_a_rank_is_the_integral_it_is_said_to_be() -> None:
    """Over where the token stands, by numerical integration of the binomial's own distribution."""
    for ahead, n, bits in ((0, 50, 0.0), (3, 50, 2.5), (20, 100, 1.0), (99, 100, 0.3)):
        end = 2.0**-bits
        area, _ = integrate.quad(lambda p, k=ahead, n=n: stats.binom.cdf(k, n, p), 0, end)
        assert at_most(ahead, n, bits) == pytest.approx(area / end, rel=1e-6)


def coverage(bits: float, draws: int, n: int = 1000) -> tuple[float, float]:
    """Share of intervals that hold the true exposure, and of estimates below it."""
    rng = np.random.default_rng(int(bits * 10) + 1)
    held, below = [], []
    for _ in range(draws):
        share = rng.uniform(0, 2.0**-bits)
        ahead = rng.binomial(n, share)
        scores = np.concatenate([np.ones(ahead), -np.ones(n - ahead)])
        found = exposure(0.0, scores, 0.9)
        held.append(found.low <= bits and (found.high is None or bits <= found.high))
        below.append(found.bits < bits)
    return float(np.mean(held)), float(np.mean(below))


@pytest.mark.parametrize("bits", [0.0, 1.0, 4.0, 9.0])
def test_the_interval_covers(bits: float) -> None:
    held, below = coverage(bits, 300)
    assert held >= 0.9 - 3 * np.sqrt(0.09 / 300)
    if bits:
        assert abs(below - 0.5) < 0.15


@pytest.mark.slow
@pytest.mark.parametrize("bits", [0.0, 1.0, 4.0, 9.0])
def test_the_interval_covers_in_full(bits: float, record_figures: Record) -> None:
    held, below = coverage(bits, 4000)
    record_figures(
        f"exposure {bits:.0f} bits, 1000 candidates, level 0.9", {"coverage": held, "below": below}
    )
    assert held >= 0.9 - 3 * np.sqrt(0.09 / 4000)


def test_a_token_in_the_middle_of_its_like_is_not_exposed() -> None:
    found = exposure(0.0, np.linspace(-1, 1, 1001))
    assert (found.bits, found.low) == (0.0, 0.0)
    assert found.rank == 502


def test_a_token_before_all_others_is_exposed_as_far_as_can_be_seen() -> None:
    found = exposure(1.0, np.zeros(4096))
    assert found.rank == 1
    assert found.high is None
    assert found.low == pytest.approx(np.log2(4097 / 40), abs=0.01)
    assert found.of_carlini == pytest.approx(np.log2(4097))


def test_a_model_that_finds_all_strings_alike_exposes_none() -> None:
    assert exposure(0.0, np.zeros(1000)).high == 0.0
