"""What is known of the variance of cross-fitted means, in simulation."""

from __future__ import annotations

import numpy as np
import pytest

from margin.stats.design import make_design
from margin.stats.folds import AT_CHANCE, grouped_folds


def test_noise_that_directs_the_fits_doubles_the_variance_of_held_out_scores() -> None:
    """Scores along the mean of the prompts of other folds, of 4,000 samples of pure noise; Monte Carlo error
    of the variance .05."""
    n, d, folds, samples = 20, 30, 5, 4000
    X = np.random.default_rng(0).standard_normal((samples, n, d))
    fold = np.arange(n) % folds
    training = (fold != np.arange(folds)[:, None]) / (n - n / folds)
    fits = np.einsum("fp,spd->sfd", training, X)
    scores = np.einsum("spd,spd->sp", X, fits[:, fold])
    given_the_fits = np.mean(np.sum(fits**2, axis=2)) / n
    assert np.var(scores.mean(axis=1)) / given_the_fits == pytest.approx(AT_CHANCE, abs=0.2)


@pytest.mark.parametrize("seed", [2**32 - 1, 2**32, 2**80])
def test_folds_take_every_seed(seed: int) -> None:
    rows = make_design(["a", "b"] * 10, np.repeat(range(10), 2))
    fold = grouped_folds(rows, 5, seed)
    assert np.bincount(fold).tolist() == [4] * 5
    assert (fold == grouped_folds(rows, 5, seed)).all()
