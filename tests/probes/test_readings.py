"""The layer that decides, directions and transfer, against their definitions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.covariance import ledoit_wolf

from margin.probes import (
    Deciding,
    cosines,
    cross_fit,
    d_primes,
    directions,
    domain_folds,
    earliest_deciding,
    grouped_folds,
    logistic_probe,
    make_rows,
    probe_layers,
    transfer,
)
from margin.stats.design import Design
from tests.intervals import lower, upper
from tests.probes.probe_data import Array, labels, paired, rows_of

CURVE = np.array([0.34, 0.50, 0.80, 0.95, 0.96])
"""True accuracy by layer; of .96 - 1/3, nine tenths above chance are reached from the fourth layer on."""


def outcomes(rng: np.random.Generator, n: int, curve: Array) -> tuple[Array, Array]:
    """Accuracies (L,) and influences (n, L) of layers that fail on the same hard prompts."""
    hard = rng.random((n, 1, 1)) * 0.5 + rng.random((n, 3, 1)) * 0.5
    ranks = np.sort(rng.random(4000) * 0.5 + rng.random(4000) * 0.5)
    correct = (hard < np.quantile(ranks, curve)).mean(axis=1)
    return correct.mean(axis=0), (correct - correct.mean(axis=0)) / n


def decide(rng: np.random.Generator, n: int, curve: Array = CURVE, share: float = 0.9) -> Deciding:
    correct, influence = outcomes(rng, n, curve)
    layers = range(len(curve))
    return earliest_deciding([*layers], correct, influence, 1 / 3, rng, share=share, replicates=400)


def test_the_layer_that_decides_is_found_and_seldom_named_too_early() -> None:
    """150 simulations: the interval misses the true layer in at most 5% and Monte Carlo error .018."""
    found = [decide(np.random.default_rng([1, i]), 80) for i in range(150)]
    held = [o.earliest is not None and o.layer is not None and o.earliest <= 3 <= o.layer for o in found]
    assert np.mean(held) > 0.95 - 0.054
    assert {decide(np.random.default_rng([2, i]), 2000).layer for i in range(5)} == {3}


def test_no_layer_decides_where_none_is_above_chance() -> None:
    found = [decide(np.random.default_rng([3, i]), 60, np.full(5, 1 / 3)) for i in range(100)]
    assert np.mean([one.layer is None for one in found]) > 0.95 - 0.066
    assert all((one.layer is None) == (one.earliest is None) for one in found)


def test_the_rule_is_stated_with_its_numbers() -> None:
    found = decide(np.random.default_rng(0), 200, share=0.8)
    assert "80%" in found.rule
    assert "0.333" in found.rule
    assert f"best layer ({found.best})" in found.rule
    best = found.layers.index(found.best)
    assert found.excess[best].estimate == pytest.approx(0.2 * (found.accuracy[best].estimate - 1 / 3))


def test_layers_are_probed_alike_alone_and_together_and_by_two_processes() -> None:
    rows = rows_of(20)
    fold = grouped_folds(rows)
    states = [(layer, paired(np.random.default_rng(layer), 20, strength=layer / 3)) for layer in (0, 2, 7)]
    found = probe_layers(iter(states), rows, fold, seed=1)
    again = probe_layers(iter(states), rows, fold, seed=1, n_jobs=2)
    pd.testing.assert_frame_equal(found.to_frame(), again.to_frame())
    alone = probe_layers(states[2:], rows, fold, seed=1).to_frame()
    together = found.to_frame()
    pd.testing.assert_frame_equal(together[together["layer"] == 7].reset_index(drop=True), alone)
    assert set(found.curve()["quantity"]) == {"accuracy", "selectivity"}
    with pytest.raises(ValueError, match="no layer"):
        probe_layers([], rows, fold)


def test_directions_are_the_mean_difference_and_the_discriminant() -> None:
    X, rows = paired(np.random.default_rng(0), 50, d=8).astype(np.float64), rows_of(50)
    means = np.array([X[rows.mode == c].mean(axis=0) for c in range(3)])
    covariance, _ = ledoit_wolf(X - means[rows.mode], assume_centered=True)
    found = directions(X, rows)
    shift = means[0] - means[2]
    np.testing.assert_allclose(
        found["mean_difference", ("neg", "rej")], shift / np.linalg.norm(shift), atol=1e-12
    )
    lda = np.linalg.solve(covariance, shift)
    np.testing.assert_allclose(found["lda", ("neg", "rej")], lda / np.sqrt(shift @ lda), rtol=1e-6)
    table = cosines(found).set_index(["first", "second"])["cosine"]
    expected = shift @ lda / np.linalg.norm(shift) / np.linalg.norm(lda)
    assert table["mean_difference neg / rej", "lda neg / rej"] == pytest.approx(expected, rel=1e-6)
    assert len(table) == 15


def test_d_prime_is_that_of_rows_held_out_and_none_without_a_difference() -> None:
    X, rows = paired(np.random.default_rng(0), 40, d=6).astype(np.float64), rows_of(40)
    fold = grouped_folds(rows)
    of_pair = np.isin(rows.mode, [0, 1])
    projected = np.zeros(len(X))
    for f in range(5):
        a, b = (X[(fold != f) & (rows.mode == mode)].mean(axis=0) for mode in (0, 1))
        projected[fold == f] = (X[fold == f] - (a + b) / 2) @ (a - b) / np.linalg.norm(a - b)
    y, first = projected[of_pair], rows.mode[of_pair] == 0
    spread = np.sqrt((y[first].var(ddof=1) + y[~first].var(ddof=1)) / 2)
    found = d_primes(X, rows, fold)
    score = found["mean_difference", ("neg", "pos")]
    assert score.estimate == pytest.approx((y[first].mean() - y[~first].mean()) / spread)
    assert lower(score) < score.estimate < upper(score)

    many = paired(np.random.default_rng(1), 60, d=400, strength=0)  # in sample it is large
    null = d_primes(many, rows_of(60), grouped_folds(rows_of(60)))
    for score in null.values():
        assert lower(score) < 0 < upper(score)


def two_domains(n: int = 30) -> tuple[Array, Design, Array]:
    """Every prompt plain, and in a second domain where the first two modes have changed places."""
    X = paired(np.random.default_rng(0), n, strength=3.0)
    swapped: Array = X.reshape(n, 3, -1)[:, [1, 0, 2]].reshape(X.shape)
    noise = np.random.default_rng(1).standard_normal((len(X), X.shape[1])).astype(np.float32)
    swapped = swapped + np.float32(0.1) * noise
    modes, prompts = labels(n)
    rows = make_rows(modes * 2, np.tile(prompts, 2))
    return np.vstack([X, swapped]), rows, np.repeat(["plain", "swapped"], len(X))


def test_transfer_holds_prompts_out_and_is_cross_validation_on_the_diagonal() -> None:
    X, rows, domains = two_domains()
    fold = domain_folds(rows, domains)
    assert len({(p, f) for p, f in zip(rows.prompt, fold, strict=True)}) == 30
    table = transfer(X, rows, domains, fold).set_index(["source", "target"])
    for source in ("plain", "swapped"):
        for target in ("plain", "swapped"):
            right = []
            for f in range(5):
                training, tried = (domains == source) & (fold != f), (domains == target) & (fold == f)
                assert not set(rows.prompt[training]) & set(rows.prompt[tried])
                fit = logistic_probe().fit(X[training], rows.mode[training])
                right += list(fit.predict(X[tried]) == rows.mode[tried])
            assert table.loc[(source, target), "estimate"] == pytest.approx(np.mean(right))
    plain = domains == "plain"
    own = cross_fit(X[plain], rows.part(plain), fold[plain]).correct.mean()
    assert table.loc[("plain", "plain"), "estimate"] == own
    assert table.loc[("plain", "swapped"), "high"] < 0.6 < table.loc[("plain", "plain"), "low"]


def test_a_domain_too_small_to_fit_on_is_skipped_with_the_reason() -> None:
    X, rows = paired(np.random.default_rng(0), 20), rows_of(20)
    domains = np.where(rows.prompt == 3, "one", "rest")
    table = transfer(X, rows, domains, domain_folds(rows, domains)).set_index(["source", "target"])
    assert np.isnan(table.loc[("one", "rest"), "estimate"])
    assert "too few prompts" in table.loc[("one", "rest"), "method"]
    assert np.isnan(table.loc[("rest", "one"), "estimate"])
    assert "single prompt" in table.loc[("rest", "one"), "method"]
    assert 0 < table.loc[("rest", "rest"), "estimate"] <= 1
    with pytest.raises(ValueError, match="two domains"):
        domain_folds(rows, np.full(60, "all"))
    with pytest.raises(ValueError, match="two prompts"):
        domain_folds(rows, rows.prompt)
