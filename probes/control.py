"""Selectivity: does the probe read the mode, or could it read anything?

Hewitt and Liang (2019), "Designing and interpreting probes with control tasks", give every word type a
random label and ask how well the same probe learns it: a probe that learns random labels as well as the
real ones says little about the representation. Here the prompt stands for the word type. Its random label
is the same in all its rows, whatever their mode, and folds part the rows of a prompt, so that every row is
read by a probe that has seen its prompt under other modes, as a word is seen in training and in testing
there. (With folds that keep prompts whole, labels that are constant within a prompt cannot be learnt by
anything: that control would be chance by construction, and selectivity accuracy less chance.)

What it shows: the control's accuracy is how far a linear probe of this penalty can look up arbitrary facts
about prompts it has met, from how prompts stand apart in the states; what the mode probe has over that is
owed to the mode being laid out the same way for all prompts. What it does not: the control grows harder
with the number of prompts (a line in d dimensions can split about 2d prompts at will), so selectivities
compare layers of one run, or runs on the same prompts, not runs of different size; a negative one means
that prompts are looked up more easily than modes are read, not that the mode is absent; and the mode probe
is scored on prompts it never met, so its own accuracy is no work of memory, whatever the control does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from margin.probes.logistic import OutOfFold, read_across
from margin.probes.performance import accuracy
from margin.probes.rows import FloatArray
from margin.short import Short
from margin.stats.design import Design
from margin.stats.estimate import Estimate
from margin.stats.intervals import difference


@dataclass(frozen=True)
class Selectivity(Short):
    """What a mode probe has over the same probe on random labels."""

    control: Estimate
    """Accuracy on the random labels, in [0, 1]; chance is 1/k. For these labels, not the mean over all."""
    selectivity: Estimate
    """Accuracy of the mode probe less that of the control, paired by prompt, in [-1, 1]."""


def control_labels(rows: Design, rng: np.random.Generator) -> Design:
    """The rows with one of k random labels a prompt, equally frequent among prompts, in place of modes."""
    label = rng.permutation(np.arange(rows.n_prompts) % rows.n_modes)
    return replace(rows, mode=label[rows.prompt])


def spread_folds(rows: Design, folds: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """(N,) fold of each row: the rows of a prompt in different ones, starting from one drawn by prompt.

    So every row is read by a probe that has seen its prompt in other rows (under other modes).
    """
    order = np.lexsort((rows.mode, rows.prompt))
    first = np.searchsorted(rows.prompt[order], np.arange(rows.n_prompts))
    place = np.empty(rows.n_points, dtype=np.intp)
    place[order] = np.arange(rows.n_points) - first[rows.prompt[order]]
    return (rng.integers(folds, size=rows.n_prompts)[rows.prompt] + place) % folds


def selectivity(
    X: FloatArray,
    found: OutOfFold,
    rng: np.random.Generator,
    level: float = 0.95,
    probe: Any = None,
) -> Selectivity:
    """Accuracy of a mode probe against the control task, with as many folds.

    Parameters
    ----------
    X : (N, d) rows, and `found` what cross-fitted probes say of them.
    rng : draws the labels and folds of the control.
    probe : as it was fitted to the modes.

    Raises
    ------
    ValueError : fewer prompts than modes.
    """
    rows = found.rows
    if rows.n_prompts < rows.n_modes:
        raise ValueError(
            f"a control task of {rows.n_modes} labels needs as many prompts, got {rows.n_prompts}"
        )
    folds = int(found.fold.max()) + 1
    control = read_across(X, control_labels(rows, rng), spread_folds(rows, folds, rng), probe)
    of_control = accuracy(control, level)
    return Selectivity(
        control=of_control,
        selectivity=difference(
            accuracy(found, level),
            of_control,
            found.influence(found.correct),
            control.influence(control.correct),
            over=rows.clusters,
        ),
    )
