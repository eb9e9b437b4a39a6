"""What probes are handed: the same numbers of any container, and one line for what does not fit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.svm import LinearSVC

from margin.errors import MarginError
from margin.probes import (
    cross_fit,
    d_primes,
    directions,
    domain_folds,
    grouped_folds,
    logistic_probe,
    make_rows,
    probe_layer,
    probe_layers,
    transfer,
)

MODES, PROMPTS = ["pos", "neg", "rej"] * 20, np.repeat(np.arange(20), 3)
X = np.random.default_rng(0).normal(size=(60, 4)) + np.tile(np.eye(3, 4) * 2, (20, 1))
ROWS = make_rows(MODES, PROMPTS)
FOLD = grouped_folds(ROWS)
LANGUAGE = np.where(PROMPTS < 10, "en", "zh")


def test_any_container_is_read_as_scikit_learn_reads_the_array() -> None:
    expected = cross_val_predict(
        logistic_probe(), X, ROWS.mode, cv=PredefinedSplit(FOLD), method="predict_proba"
    )
    asked = torch.tensor(X, requires_grad=True)
    for points in (X, X.tolist(), pd.DataFrame(X, index=range(7, 67)), asked, X[:, ::-1][:, ::-1]):
        for fold in (FOLD, FOLD.tolist(), FOLD.astype(float), pd.Series(FOLD, index=range(60, 0, -1))):
            assert np.allclose(cross_fit(points, ROWS, fold).probabilities, expected)


def test_tensors_in_bfloat16_are_what_float32_makes_of_them() -> None:
    rounded = torch.tensor(X, dtype=torch.bfloat16)
    plain = rounded.float().numpy()
    assert np.array_equal(
        cross_fit(rounded, ROWS, FOLD).probabilities, cross_fit(plain, ROWS, FOLD).probabilities
    )
    for kind, direction in directions(rounded, ROWS).items():
        assert np.array_equal(direction, directions(plain, ROWS)[kind])


def test_direction_of_a_table_is_the_difference_of_its_means() -> None:
    table = pd.DataFrame(X)
    shift = table[np.array(MODES) == "pos"].mean() - table[np.array(MODES) == "neg"].mean()
    found = directions(table, ROWS)["mean_difference", ("pos", "neg")]
    assert np.allclose(found, shift / np.linalg.norm(shift))


def test_layers_may_be_a_mapping() -> None:
    found = probe_layers({0: X[::-1], 8: X}, ROWS, FOLD)
    assert [one.layer for one in found.layers] == [0, 8]
    assert found.layers[1].accuracy == probe_layer(8, X, ROWS, FOLD).accuracy


BROKEN: list[tuple[Callable[[], object], str]] = [
    (lambda: cross_fit(X[:50], ROWS, FOLD), "X has 50 rows, but 60 modes"),
    (lambda: cross_fit(np.vstack([X, X]), ROWS, FOLD), "X has 120 rows"),
    (lambda: cross_fit(X[:, None], ROWS, FOLD), "X must be a matrix"),
    (lambda: cross_fit(np.where(X > 2, np.nan, X), ROWS, FOLD), "hold NaN or infinity"),
    (lambda: d_primes(np.where(X > 2, np.inf, X), ROWS, FOLD), "hold NaN or infinity"),
    (lambda: directions(X[:50], ROWS), "X has 50 rows"),
    (lambda: cross_fit(X, MODES, FOLD), "rows must be what margin.probes.make_rows"),  # type: ignore[arg-type]
    (lambda: grouped_folds(MODES), "rows must be what margin.probes.make_rows"),  # type: ignore[arg-type]
    (lambda: domain_folds(MODES, LANGUAGE), "rows must be what margin.probes.make_rows"),  # type: ignore[arg-type]
    (lambda: cross_fit(X, ROWS, FOLD[:30]), "30 folds but 60 rows"),
    (lambda: cross_fit(X, ROWS, FOLD + 1), "from 0 to the last"),
    (lambda: cross_fit(X, ROWS, np.where(FOLD == 2, -1, FOLD)), "from 0 to the last"),
    (lambda: cross_fit(X, ROWS, np.zeros(60, dtype=int)), "two at least"),
    (lambda: cross_fit(X, ROWS, FOLD + 0.5), "whole numbers"),
    (lambda: cross_fit(X, ROWS, ["train"] * 60), "whole numbers"),
    # The classic: a fold for each row, so that a probe is tried on prompts that it was fitted on.
    (lambda: cross_fit(X, ROWS, np.arange(60) % 5), "parts what belongs together"),
    (lambda: d_primes(X, ROWS, np.arange(60) % 5), "parts what belongs together"),
    (lambda: probe_layer(0, X, ROWS, np.arange(60) % 5), "parts what belongs together"),
    (lambda: transfer(X, ROWS, LANGUAGE, np.arange(60) % 5), "parts what belongs together"),
    (lambda: cross_fit(X, ROWS, FOLD, LinearSVC()), "with predict_proba: got LinearSVC"),
    (lambda: transfer(X, ROWS, LANGUAGE, FOLD, probe=LinearSVC), "got LinearSVC"),
    (lambda: transfer(X, ROWS, LANGUAGE[::3], FOLD), "20 domains but 60 rows"),
    (lambda: domain_folds(ROWS, [None, *LANGUAGE[1:]]), "domains: that of row 0 is missing"),
    (lambda: grouped_folds(ROWS, folds=1), "folds 1: take a whole number from 2 on"),
    (lambda: grouped_folds(ROWS, folds=2.5), "folds 2.5"),  # type: ignore[arg-type]
    (lambda: probe_layers([(8, X), (0, X)], ROWS, FOLD), "0 stands after 8"),
    (lambda: probe_layers([(8, X), (8, X)], ROWS, FOLD), "8 stands after 8"),
    (lambda: probe_layers([X, X], ROWS, FOLD), "pairs of a layer's number"),  # type: ignore[list-item]
    (lambda: probe_layer(0, X, ROWS, FOLD, level=95), "level 95"),
    (lambda: make_rows(np.array([None, *MODES[1:]]), PROMPTS), "modes: that of row 0 is missing"),
    (lambda: make_rows(MODES, [np.nan, *PROMPTS[1:]]), "prompts: that of row 0 is missing"),
    (lambda: make_rows(MODES, PROMPTS, np.arange(60) % 2), "prompt '0' stands in two clusters"),
]


@pytest.mark.parametrize(("broken", "message"), BROKEN)
def test_what_does_not_fit_is_one_line(broken: Callable[[], object], message: str) -> None:
    with pytest.raises(MarginError, match=message) as caught:
        broken()
    assert "\n" not in str(caught.value)
