"""Folds of rows for cross-fitting: one kind never parts a prompt, the other always does."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from margin.stats.design import Design


def grouped_folds(rows: Design, folds: int = 5, seed: int = 0) -> NDArray[np.intp]:
    """(N,) fold of each row: all rows of a prompt in one, the modes as even as that allows.

    With a prompt's rows on both sides a probe knows the prompt it is tried on: accuracies then fall far below
    chance without a difference between modes, and are of no use with one. Fewer folds where they would hold a
    single prompt, never fewer than two. Clusters of prompts are not parted either. The prompts of a fold
    depend on the seed and not on the rows' order.

    Costs some 0.2 s a thousand prompts (scikit-learn's `StratifiedGroupKFold`).

    Example
    -------
    >>> from probes import make_rows
    >>> rows = make_rows(modes=["pos", "neg"] * 10, prompts=[i // 2 for i in range(20)])
    >>> fold = grouped_folds(rows, folds=5)
    >>> bool((fold[::2] == fold[1::2]).all())  # both rows of a prompt are in one
    True
    """
    number = max(2, min(folds, rows.n_units // 2))
    splitter = StratifiedGroupKFold(number, shuffle=True, random_state=seed)
    fold, unit = np.empty(rows.n_points, dtype=np.intp), rows.unit[rows.prompt]
    with warnings.catch_warnings():
        # A mode rarer than there are folds is for whoever fits to deal with.
        warnings.filterwarnings("ignore", message="The least populated class")
        for f, (_, held_out) in enumerate(splitter.split(np.zeros(rows.n_points), rows.mode, unit)):
            fold[held_out] = f
    return fold


def spread_folds(rows: Design, folds: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """(N,) fold of each row: the rows of a prompt in different ones, starting from one drawn by prompt.

    So every row is read by a probe that has seen its prompt in other rows (under other modes).
    """
    order = np.lexsort((rows.mode, rows.prompt))
    first = np.searchsorted(rows.prompt[order], np.arange(rows.n_prompts))
    place = np.empty(rows.n_points, dtype=np.intp)
    place[order] = np.arange(rows.n_points) - first[rows.prompt[order]]
    return (rng.integers(folds, size=rows.n_prompts)[rows.prompt] + place) % folds
