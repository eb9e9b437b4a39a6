"""A mode probe is scikit-learn's cross-validation on folds of whole prompts, with intervals that cover."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss, roc_auc_score
from sklearn.model_selection import PredefinedSplit, cross_val_predict, cross_val_score

from margin.probes import calibration as calibration_of
from margin.probes import cross_fit, grouped_folds, logistic_probe, make_rows, probe_layer
from margin.probes.control import spread_folds
from margin.probes.logistic import OutOfFold
from margin.probes.performance import accuracy, auc
from margin.stats.design import Design
from margin.stats.intervals import difference, proportion
from tests.intervals import holds, lower, upper
from tests.probes.probe_data import Array, paired, rows_of

N, D = 40, 12


@pytest.fixture(scope="module")
def fitted() -> tuple[Array, Design, OutOfFold]:
    X, rows = paired(np.random.default_rng(0), N, d=D), rows_of(N)
    return X, rows, cross_fit(X, rows, grouped_folds(rows))


def test_probabilities_are_scikit_learns_on_the_same_folds(fitted: tuple[Array, Design, OutOfFold]) -> None:
    X, rows, found = fitted
    by_hand = cross_val_predict(
        logistic_probe(), X, rows.mode, cv=PredefinedSplit(found.fold), method="predict_proba"
    )
    np.testing.assert_array_equal(found.probabilities, by_hand)


def test_scores_are_scikit_learns(fitted: tuple[Array, Design, OutOfFold]) -> None:
    X, rows, found = fitted
    P, y, split = found.probabilities, rows.mode, PredefinedSplit(found.fold)
    P = P / P.sum(axis=1, keepdims=True)  # float32 probabilities sum to 1 within rounding
    by_fold = cross_val_score(logistic_probe(), X, y, cv=split, scoring="roc_auc_ovr")
    assert accuracy(found).estimate == pytest.approx(accuracy_score(y, P.argmax(1)))
    area, by_mode = auc(found)
    assert area.estimate == pytest.approx(by_fold.mean())
    assert list(by_mode) == ["neg", "pos", "rej"]
    one = [roc_auc_score(y[found.fold == f] == 2, P[found.fold == f, 2]) for f in range(5)]
    assert by_mode["rej"].estimate == pytest.approx(np.mean(one))
    assert calibration_of.brier(found).estimate == pytest.approx(
        brier_score_loss(y, P, scale_by_half=False), rel=1e-6
    )
    assert calibration_of.log_loss(found).estimate == pytest.approx(log_loss(y, P), rel=1e-6)


def test_calibration_error_is_its_definition(fitted: tuple[Array, Design, OutOfFold]) -> None:
    _, rows, found = fitted
    confidence, hit = found.probabilities.max(1), found.probabilities.argmax(1) == rows.mode
    expected = 0.0
    for low in np.arange(10) / 10:
        inside = (confidence >= low) & (confidence < low + 0.1 + 1e-12 * (low == 0.9))
        if inside.any():
            expected += inside.mean() * abs(confidence[inside].mean() - hit[inside].mean())
    score = calibration_of.calibration_error(found, np.random.default_rng(0))
    assert score.estimate == pytest.approx(expected, abs=1e-9)
    assert holds(score, score.estimate)


def test_auc_interval_follows_the_jackknife_over_prompts(fitted: tuple[Array, Design, OutOfFold]) -> None:
    """Of fixed scores in a single fold: leave out one prompt at a time."""
    _, rows, found = fitted
    one = OutOfFold(rows, np.zeros(rows.n_points, dtype=np.intp), found.probabilities)
    values = np.array(
        [
            roc_auc_score(rows.mode[rows.prompt != p] == 1, found.probabilities[rows.prompt != p, 1])
            for p in range(N)
        ]
    )
    jackknife = np.sqrt((N - 1) / N * np.sum((values - values.mean()) ** 2))
    assert auc(one)[1]["pos"].se == pytest.approx(jackknife, rel=0.03)


def test_no_prompt_is_parted_and_row_order_does_not_matter() -> None:
    rows = rows_of(23)
    fold = grouped_folds(rows, 5, seed=3)
    assert len({(p, f) for p, f in zip(rows.prompt, fold, strict=True)}) == 23
    assert np.ptp(np.bincount(fold)) <= 3
    order = np.random.default_rng(1).permutation(rows.n_points)
    shuffled = Design(rows.mode[order], rows.prompt[order], rows.modes, rows.prompt_ids)
    np.testing.assert_array_equal(grouped_folds(shuffled, 5, seed=3), fold[order])
    assert (grouped_folds(rows, 5, seed=4) != fold).any()


@pytest.mark.parametrize("n", [2, 3, 7])
def test_few_prompts_make_fewer_folds(n: int) -> None:
    rows = rows_of(n)
    assert grouped_folds(rows).max() + 1 == max(2, n // 2)
    found = probe_layer(0, paired(np.random.default_rng(0), n), rows, grouped_folds(rows))
    assert 0 <= lower(found.accuracy) <= found.accuracy.estimate <= upper(found.accuracy) <= 1
    assert (found.control is None) == (n < 3)


def test_control_folds_part_every_prompt() -> None:
    rows = rows_of(30)
    fold = spread_folds(rows, 5, np.random.default_rng(0))
    assert len({(p, f) for p, f in zip(rows.prompt, fold, strict=True)}) == 90
    assert set(fold) == set(range(5))


def test_a_perfect_probe_still_has_an_interval() -> None:
    X, rows = paired(np.random.default_rng(0), 30, strength=40.0), rows_of(30)
    found = probe_layer(0, X, rows, grouped_folds(rows))
    assert found.accuracy.estimate == 1
    assert 0.85 < lower(found.accuracy) < 0.9  # nothing wrong in 30 prompts: exact bound .884
    assert found.auc.estimate == 1
    assert lower(found.auc) < 0.9


def test_states_that_are_all_alike_give_chance_and_no_more() -> None:
    """The embeddings' output at a position that all prompts share."""
    rows = rows_of(20)
    found = probe_layer(0, np.full((60, 8), 0.3, dtype=np.float32), rows, grouped_folds(rows))
    assert found.accuracy.estimate == pytest.approx(1 / 3)
    assert lower(found.accuracy) < 1 / 3 < upper(found.accuracy)
    assert found.auc.estimate == 0.5
    assert {score.estimate for score in found.d_prime.values()} == {0}


def test_rows_are_refused_with_a_reason() -> None:
    with pytest.raises(ValueError, match="two prompts"):
        make_rows(["a", "b"], ["p", "p"])
    with pytest.raises(ValueError, match="two modes"):
        make_rows(["a", "a"], ["p", "q"])
    with pytest.raises(ValueError, match="3 modes but 2 prompts"):
        make_rows(["a", "b", "a"], ["p", "q"])


def test_difference_of_two_proportions_covers_where_both_are_nearly_perfect() -> None:
    """300 simulated runs of 60 prompts; true difference .04; Monte Carlo error .013."""
    hits = 0
    for i in range(300):
        rng = np.random.default_rng([7, i])
        hard = rng.random(60)
        a, b = (hard < 0.99).astype(float), (hard < 0.95).astype(float)
        of_a, of_b = ((x - x.mean()) / 60 for x in (a, b))
        found = difference(proportion(a.mean(), of_a), proportion(b.mean(), of_b), of_a, of_b)
        hits += holds(found, 0.04)
    assert hits / 300 > 0.95 - 0.039
