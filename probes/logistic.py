"""The probe: standardised features and regularised multinomial logistic regression, cross-fitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from margin.probes import checks
from margin.probes.rows import FloatArray
from margin.short import Short
from margin.stats.design import Design
from margin.stats.folds import widening

if TYPE_CHECKING:  # slow to import, and most commands fit no probe
    from sklearn.pipeline import Pipeline

C = 0.1
"""Inverse strength of the L2 penalty, for standardised features. Fixed, so that nothing is tuned on the rows
that are scored."""
ITERATIONS = 1000
"""Steps of the optimiser at most; scikit-learn's default tolerance is reached long before."""


def logistic_probe(C: float = C) -> Pipeline:
    """Unfitted scikit-learn pipeline: `StandardScaler`, then multinomial `LogisticRegression` (L2, lbfgs).

    Alain and Bengio (2016), "Understanding intermediate layers using linear classifier probes".

    Example
    -------
    >>> [name for name, step in logistic_probe().steps]
    ['standardscaler', 'logisticregression']
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=ITERATIONS))


@dataclass(frozen=True, eq=False)
class OutOfFold(Short):
    """What cross-fitted probes say of rows they were not fitted on."""

    rows: Design
    fold: NDArray[np.intp]
    """(N,) fold of each row."""
    probabilities: NDArray[np.float64]
    """(N, k) of each mode."""

    @property
    def correct(self) -> NDArray[np.float64]:
        """(N,) 1 where the likeliest mode is the row's own, else 0."""
        correct: NDArray[np.float64] = (self.probabilities.argmax(axis=1) == self.rows.mode).astype(
            np.float64
        )
        return correct

    def influence(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """(n,) influence of each prompt on the mean of `values` (N,), widened for what folds share."""
        return self.rows.influence(values) * widening(self.fold)


def cross_fit(X: ArrayLike, rows: Design, fold: ArrayLike, probe: Any = None) -> OutOfFold:
    """Fit on all folds but one and read that one, for each fold: scikit-learn's `cross_val_predict`.

    Parameters
    ----------
    X : (N, d) rows: an array, a table, a tensor, or lists; float32 is fitted as float32.
    fold : (N,) 0 to K-1, as `grouped_folds` deals them: all rows of a prompt in one.
    probe : classifier with `predict_proba`; `logistic_probe()` unless given.

    Cost: K fits, each of a hundred or so passes over the rows: O(N d k) a pass.

    Raises
    ------
    ValueError : a fold without which a mode has no row.
    MarginError : X or fold of another length, or of another kind; NaN or infinity; a prompt in two folds.

    Example
    -------
    >>> import numpy as np
    >>> from margin.probes import grouped_folds, make_rows
    >>> rng = np.random.default_rng(0)
    >>> modes, prompts = ["neg", "pos"] * 30, np.repeat(range(30), 2)
    >>> X = rng.normal(size=(60, 4)) + np.tile([[0.0], [2.0]], (30, 4))
    >>> rows = make_rows(modes, prompts)
    >>> found = cross_fit(X, rows, grouped_folds(rows))
    >>> found.probabilities.shape, round(float(found.correct.mean()), 2)
    ((60, 2), 0.95)
    """
    checks.require_estimator(probe, "predict_proba")
    return read_across(checks.states(X, rows), rows, checks.folds(fold, rows), probe)


def read_across(X: FloatArray, rows: Design, fold: NDArray[np.intp], probe: Any = None) -> OutOfFold:
    """As `cross_fit`, of what is known to fit, and with any folds: those of a control part prompts."""
    probabilities = np.empty((rows.n_points, rows.n_modes))
    for f in range(int(fold.max()) + 1):
        held_out = fold == f
        fit = fit_rows(X[~held_out], rows.mode[~held_out], rows.n_modes, probe)
        probabilities[held_out] = fit.predict_proba(X[held_out])
    return OutOfFold(rows, fold, probabilities)


def fit_rows(X: FloatArray, mode: NDArray[np.intp], n_modes: int, probe: Any = None) -> Any:
    """A fit of the probe that knows every mode; ValueError where one has no row."""
    from sklearn.base import clone

    missing = np.setdiff1d(np.arange(n_modes), mode)
    if len(missing):
        raise ValueError("too few prompts: outside one of the folds a mode has no row to fit on")
    return clone(logistic_probe() if probe is None else probe).fit(X, mode)
