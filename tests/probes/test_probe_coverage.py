"""Do the intervals cover, without a difference between modes and with one? Simulated prompts.

Held against what the intervals claim: the mean performance of the very fits on new prompts.
"""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone

from margin.probes import cross_fit, d_primes, grouped_folds, logistic_probe
from margin.probes.calibration import brier, calibration_error, log_loss
from margin.probes.control import selectivity
from margin.probes.logistic import OutOfFold
from margin.probes.performance import accuracy, auc
from margin.stats.design import Design
from margin.stats.estimate import Estimate
from tests.intervals import holds, lower, upper
from tests.probes.probe_data import Array, paired, rows_of
from tests.simulations import Record

CHANCE = {"accuracy": 1 / 3, "auc": 1 / 2, "d_prime": 0.0}


def scores(found: OutOfFold, X: Array, seed: int) -> dict[str, Estimate]:
    d_prime = d_primes(X, found.rows, found.fold)["mean_difference", ("neg", "pos")]
    return {
        "accuracy": accuracy(found),
        "auc": auc(found)[0],
        "brier": brier(found),
        "log_loss": log_loss(found),
        "calibration_error": calibration_error(found, np.random.default_rng(seed), draws=500),
        "d_prime": d_prime,
    }


def performance_of_the_fits(X: Array, found: OutOfFold, new: Array, n_new: int) -> dict[str, float]:
    """Mean over folds of the fits' scores on new prompts."""
    rows, values = rows_of(n_new), []
    whole = np.zeros(rows.n_points, dtype=np.intp)
    for f in range(int(found.fold.max()) + 1):
        training = found.fold != f
        fit = clone(logistic_probe()).fit(X[training], found.rows.mode[training])
        on_new = OutOfFold(rows, whole, fit.predict_proba(new))
        values.append([accuracy(on_new).estimate, auc(on_new)[0].estimate, brier(on_new).estimate])
        values[-1].append(log_loss(on_new).estimate)
    return dict(zip(("accuracy", "auc", "brier", "log_loss"), np.mean(values, axis=0), strict=True))


def coverage(n: int, d: int, strength: float, simulations: int, n_new: int = 400) -> dict[str, float]:
    new = paired(np.random.default_rng(2), n_new, d=d, strength=strength)
    rows = rows_of(n)
    hits: dict[str, list[bool]] = {}
    for i in range(simulations):
        X = paired(np.random.default_rng([3, i]), n, d=d, strength=strength)
        found = cross_fit(X, rows, grouped_folds(rows, seed=i))
        truth = performance_of_the_fits(X, found, new, n_new)
        for name, score in scores(found, X, i).items():
            if name in truth:
                hits.setdefault(name, []).append(holds(score, truth[name]))
    return {name: float(np.mean(held)) for name, held in hits.items()}


def null_coverage(n: int, d: int, simulations: int) -> dict[str, float]:
    """Share of simulations without a difference whose interval holds chance."""
    rows = rows_of(n)
    hits: dict[str, list[bool]] = {}
    for i in range(simulations):
        X = paired(np.random.default_rng([5, i]), n, d=d, strength=0)
        found = scores(cross_fit(X, rows, grouped_folds(rows, seed=i)), X, i)
        for name, chance in CHANCE.items():
            hits.setdefault(name, []).append(holds(found[name], chance))
    return {name: float(np.mean(held)) for name, held in hits.items()}


def test_without_a_difference_chance_is_within_the_interval() -> None:
    """60 simulations: Monte Carlo error .028, so .95 stays above .86 but once in a thousand."""
    found = null_coverage(40, 16, 60)
    assert min(found.values()) > 0.86, found


@pytest.mark.slow
@pytest.mark.parametrize(("n", "d"), [(100, 16), (100, 200), (300, 64)])
def test_without_a_difference_chance_is_within_95_percent(n: int, d: int, record_figures: Record) -> None:
    """500 simulations: Monte Carlo error .010, twice of which is allowed for."""
    found = null_coverage(n, d, 500)
    record_figures(f"no difference, {n} prompts x 3 modes x {d}", found)
    assert min(found.values()) >= 0.93, found


@pytest.mark.slow
@pytest.mark.parametrize("strength", [0.0, 0.5, 1.5, 4.0])
@pytest.mark.parametrize("d", [16, 200])
def test_intervals_cover_what_the_fits_do_on_new_prompts(
    strength: float, d: int, record_figures: Record
) -> None:
    """200 simulations: Monte Carlo error .015, twice of which is allowed for."""
    found = coverage(100, d, strength, 200)
    record_figures(f"strength {strength}, 100 prompts x 3 modes x {d}", found)
    assert min(found.values()) >= 0.95 - 0.031, found


def calibrated(rng: np.random.Generator, n: int, over: float = 0.0) -> tuple[OutOfFold, float]:
    """Probabilities that are what they say but for `over`, and their true expected calibration error."""
    rows = rows_of(n)
    P = rng.dirichlet([1.5, 1.5, 1.5], size=rows.n_points)
    top = P.max(axis=1)
    hit = rng.random(rows.n_points) < top - over
    others = (P.argmax(axis=1) + rng.integers(1, 3, size=rows.n_points)) % 3
    mode = np.where(hit, P.argmax(axis=1), others)
    rows = Design(mode, rows.prompt, rows.modes, rows.prompt_ids)
    return OutOfFold(rows, np.zeros(rows.n_points, dtype=np.intp), P), over


@pytest.mark.parametrize("over", [0.0, 0.1])
def test_calibration_error_covers_where_there_is_none_and_where_there_is(over: float) -> None:
    """200 simulations: Monte Carlo error .015."""
    held = []
    for i in range(200):
        found, truth = calibrated(np.random.default_rng([8, i]), 80, over)
        score = calibration_error(found, np.random.default_rng(i), draws=500)
        held.append(holds(score, truth))
    assert np.mean(held) > 0.95 - 0.045


def test_selectivity_tells_a_mode_laid_out_for_all_from_prompts_that_are_looked_up() -> None:
    n, d = 60, 60
    rows = rows_of(n)
    fold = grouped_folds(rows)
    rng = np.random.default_rng(0)
    effects = np.tile(3 * rng.standard_normal((3, d)), (n, 1))
    noise = rng.standard_normal((3 * n, d)).astype(np.float32)
    of_prompt = np.repeat(rng.standard_normal((n, d)), 3, axis=0).astype(np.float32)

    laid_out = (effects + noise).astype(np.float32)  # prompts leave no trace
    found = selectivity(laid_out, cross_fit(laid_out, rows, fold), np.random.default_rng(1))
    assert lower(found.control) < 1 / 3 < upper(found.control)
    assert lower(found.selectivity) > 0.4

    looked_up = 5 * of_prompt + noise  # modes leave no trace, prompts can be told apart
    found = selectivity(looked_up, cross_fit(looked_up, rows, fold), np.random.default_rng(1))
    assert found.control.estimate > 0.8
    assert upper(found.selectivity) < 0
