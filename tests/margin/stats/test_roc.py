"""Curves of hits against false alarms, against scikit-learn, and intervals that admit how few there are."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score, roc_curve

from margin.stats.clusters import Clusters, make_clusters
from margin.stats.roc import auc, risk_coverage, selective_risk, sensitivity
from tests.simulations import Record

Scored = tuple[NDArray[np.float64], NDArray[np.bool_], Clusters]


def scored(
    rng: np.random.Generator, prompts: int, shift: float = 1.0, each: int = 3, alike: float = 0.5
) -> Scored:
    """Rows of prompts; those that fail have scores higher by `shift`; rows of a prompt are alike."""
    failed = rng.random((prompts, each)) < 0.2 + 0.2 * rng.random((prompts, 1))
    of_prompt = np.sqrt(alike) * rng.normal(size=(prompts, 1))
    scores = of_prompt + np.sqrt(1 - alike) * rng.normal(size=(prompts, each)) + shift * failed
    return scores.ravel(), failed.ravel(), make_clusters(np.repeat(np.arange(prompts), each))


@pytest.mark.parametrize("tied", [False, True])
def test_the_area_equals_scikit_learns(tied: bool) -> None:
    scores, failed, units = scored(np.random.default_rng(0), 60)
    scores = np.round(scores) if tied else scores
    assert auc(scores, failed, units).estimate == pytest.approx(roc_auc_score(failed, scores))


@pytest.mark.parametrize("seed", range(5))
def test_the_share_found_is_that_of_scikit_learns_curve(seed: int) -> None:
    scores, failed, units = scored(np.random.default_rng(seed), 200)
    false, true, _ = roc_curve(failed, scores, drop_intermediate=False)
    expected = true[false <= 0.01].max()
    assert sensitivity(scores, failed, units).estimate == pytest.approx(expected)


def area_coverage(count: int, prompts: int) -> float:
    rng = np.random.default_rng(1)
    truth = float(np.mean([auc(*scored(rng, 4000)).estimate for _ in range(5)]))
    found = [auc(*scored(rng, prompts)) for _ in range(count)]
    return float(np.mean([one.low is not None and one.low <= truth <= (one.high or 0) for one in found]))


def sensitivity_coverage(count: int, prompts: int) -> float:
    rng = np.random.default_rng(2)
    truth = float(np.mean([sensitivity(*scored(rng, 20_000)).estimate for _ in range(5)]))
    found = [sensitivity(*scored(rng, prompts)) for _ in range(count)]
    return float(np.mean([one.low is not None and one.low <= truth <= (one.high or 0) for one in found]))


def test_intervals_cover() -> None:
    assert area_coverage(150, 60) >= 0.9
    assert sensitivity_coverage(100, 100) >= 0.92


@pytest.mark.slow
@pytest.mark.parametrize("prompts", [40, 100, 300])
def test_intervals_cover_in_full(prompts: int, record_figures: Record) -> None:
    shares = {"area": area_coverage(1000, prompts)}
    if prompts > 40:
        shares["share found at 1% of false alarms"] = sensitivity_coverage(1000, prompts)
    record_figures(f"{prompts} prompts of 3 rows", shares)
    assert min(shares.values()) >= 0.92


def test_too_few_right_answers_are_said() -> None:
    scores, failed, units = scored(np.random.default_rng(3), 20)
    found = sensitivity(scores, failed, units)
    assert np.isnan(found.estimate)
    assert "asks for 100 at least" in found.method


def test_one_hundred_right_answers_do_not_show_where_the_threshold_lies() -> None:
    """All failures score above every right answer; that none in a hundred exceeds it says little of one in a
    hundred."""
    scores = np.concatenate([np.arange(100.0), 200 + np.arange(50.0)])
    failed = np.arange(150) >= 100
    found = sensitivity(scores, failed, make_clusters(np.arange(150)))
    assert found.estimate == 1
    assert found.low == 0


@pytest.mark.parametrize("failed", [np.zeros(9, dtype=bool), np.ones(9, dtype=bool)])
def test_without_failures_or_without_right_answers_there_is_no_area(failed: NDArray[np.bool_]) -> None:
    found = auc(np.arange(9.0), failed, make_clusters(np.arange(9)))
    assert np.isnan(found.estimate)
    assert found.method.startswith("none: ")


def test_the_curve_ends_in_the_share_of_failures_and_ties_go_together() -> None:
    scores = np.array([0.0, 1.0, 1.0, 2.0])
    failed = np.array([False, True, False, True])
    curve = risk_coverage(scores, failed)
    assert curve["coverage"].tolist() == [0.25, 0.75, 1.0]
    assert curve["risk"].tolist() == pytest.approx([0, 1 / 3, 0.5])


def test_the_risk_at_a_coverage_is_that_of_the_rows_kept() -> None:
    scores, failed, units = scored(np.random.default_rng(4), 100)
    kept = np.argsort(scores)[:150]
    found = selective_risk(scores, failed, units, 0.5)
    assert found.estimate == pytest.approx(failed[kept].mean())
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.estimate < found.high
    assert selective_risk(scores, failed, units, 1.0).estimate == pytest.approx(failed.mean())
