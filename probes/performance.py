"""How well cross-fitted probes tell the modes: accuracy and ranking."""

from __future__ import annotations

import numpy as np

from margin.probes.logistic import OutOfFold
from margin.stats.estimate import Estimate
from margin.stats.folds import widening
from margin.stats.intervals import proportion
from margin.stats.roc import area


def accuracy(found: OutOfFold, level: float = 0.95) -> Estimate:
    """Share of rows whose likeliest mode is their own; chance is 1/k where modes are equally frequent.

    The interval is for the mean accuracy of these probes on new prompts; see `margin.stats.folds.widening`.
    """
    value = float(found.correct.mean())
    return proportion(value, found.influence(found.correct), level, over=found.rows.clusters)


def auc(found: OutOfFold, level: float = 0.95) -> tuple[Estimate, dict[str, Estimate]]:
    """Area under the ROC curve of each mode against the rest: the mean over modes, and each.

    Probability that a row of the mode is given more of it than another mode's row; ties count half, chance is
    1/2. Of each fold by itself, since scores of different probes are not comparable, and then the mean over
    folds, as scikit-learn's `cross_val_score(scoring="roc_auc_ovr")`; a fold without a mode counts for the
    others only. Intervals with a prompt's rows together: Obuchowski (1997), "Nonparametric analysis of
    clustered ROC curve data". O(N log N) a mode.
    """
    rows = found.rows
    values = np.empty(rows.n_modes)
    influences = np.empty((rows.n_modes, rows.n_prompts))
    for mode in range(rows.n_modes):
        own = rows.mode == mode
        folds = [f for f in range(int(found.fold.max()) + 1) if 0 < own[found.fold == f].mean() < 1]
        of_row = np.zeros(rows.n_points)
        areas = []
        for f in folds:
            here = found.fold == f
            value, deviations = area(found.probabilities[here, mode], own[here])
            areas.append(value)
            of_row[here] = deviations / len(folds)
        values[mode] = np.mean(areas)
        influences[mode] = np.bincount(rows.prompt, weights=of_row, minlength=rows.n_prompts)
    influences *= widening(found.fold)
    by_mode = {
        name: proportion(float(value), influence, level, over=rows.clusters)
        for name, value, influence in zip(rows.modes, values, influences, strict=True)
    }
    overall = proportion(float(values.mean()), influences.mean(axis=0), level, over=rows.clusters)
    return overall, by_mode
