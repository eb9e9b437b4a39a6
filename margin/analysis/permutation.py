"""Null distribution of the margin by permuting mode labels within each prompt.

Within a prompt the modes are exchangeable when the token does nothing; across prompts nothing is assumed.
Shuffling labels over all points would test another, irrelevant hypothesis, with less power (Good, 2005,
"Permutation, Parametric and Bootstrap Tests of Hypotheses").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from margin.analysis.distances import Distances
from margin.analysis.silhouette import mean_distances, own_distances, silhouette
from margin.analysis.vectors import blocks
from margin.short import Short
from margin.stats.design import Design

CHUNK = 2**22
"""Numbers held at a time in the product over many relabellings (32 MB)."""
BLOCK = 2**15
"""Numbers of each kind held at a time beside that product: they stay in the processor's cache."""


@dataclass(frozen=True, eq=False)
class PermutationNull(Short):
    """What the leave-prompt-out margin would be if the modes made no difference."""

    mean: float
    """Mean of the null distribution: the zero that the margin is to be read against."""
    p_value: float
    """(1 + #{null >= observed}) / (permutations + 1)."""
    permutations: int
    values: NDArray[np.float64]
    """(permutations,) the null margins."""


def permutation_null(
    distances: Distances, design: Design, rng: np.random.Generator, permutations: int = 999
) -> PermutationNull:
    """Permute the mode labels within every prompt and recompute the leave-prompt-out margin.

    Cost: O(N d k) a permutation for linear distances; O(N^2) for Euclidean, plus O(N^2 d) a chunk.
    """
    own = own_distances(distances, design)
    observed = _margins(distances, design, own, design.mode[:, None])[0]
    step = max(1, CHUNK // (design.n_points * design.n_modes))
    null = np.empty(permutations)
    for start in range(0, permutations, step):
        count = min(step, permutations - start)
        relabelled = permute_within_prompts(design, rng, count)
        null[start : start + count] = _margins(distances, design, own, relabelled)
    # Relabellings that leave the modes as they are give the same margin up to rounding, and reach it.
    reached = np.sum(null >= observed - max(1e-12, distances.resolution))
    return PermutationNull(float(null.mean()), float((1 + reached) / (permutations + 1)), permutations, null)


def permute_within_prompts(design: Design, rng: np.random.Generator, count: int) -> NDArray[np.intp]:
    """(N, count) mode indices, each column with the modes of every prompt's points in a random order.

    Where prompts come in clusters, the modes of all prompts of a cluster are exchanged alike.
    """
    relabelled = np.empty((design.n_points, count), dtype=np.intp)
    if design.clusters is not None:
        unit = design.unit[design.prompt]
        for column in range(count):
            orders = rng.permuted(np.tile(np.arange(design.n_modes), (design.n_units, 1)), axis=1)
            relabelled[:, column] = orders[unit, design.mode]
        return relabelled
    by_prompt = np.argsort(design.prompt, kind="stable")
    for column in range(count):
        shuffled = np.argsort(design.prompt + rng.random(design.n_points))  # in any order within a prompt
        relabelled[shuffled, column] = design.mode[by_prompt]
    return relabelled


def _margins(
    distances: Distances,
    design: Design,
    own: tuple[NDArray[np.float64], NDArray[np.float64]],
    labels: NDArray[np.intp],
) -> NDArray[np.float64]:
    """Leave-prompt-out margins (B,) under the labels (N, B).

    own : sums of distances to the points of the own unit by the modes they really have, and their number.
    """
    count = labels.shape[1]
    onehot = labels[:, :, None] == np.arange(design.n_modes)
    totals = distances.matmul(onehot.reshape(design.n_points, -1).astype(np.float32)).reshape(onehot.shape)
    margins = np.empty(count)
    sizes = onehot.sum(axis=0, dtype=np.float64)
    for some in blocks(count, max(1, BLOCK // totals[:, 0].size)):
        own_modes = np.ascontiguousarray(labels[:, some].T)
        where = _real_modes(design, own_modes)
        # A prompt's own points keep their distances: under new labels they are read in another order.
        of_own, number = (
            np.where(where < 0, 0, np.take_along_axis(each[None], where, axis=2)) for each in own
        )
        to_modes = np.ascontiguousarray(totals[:, some].swapaxes(0, 1))
        mean = mean_distances(to_modes, sizes[some, None], of_own, number, distances.resolution)
        margins[some] = silhouette(mean, own_modes).samples.mean(axis=1)
    return margins


def _real_modes(design: Design, labels: NDArray[np.intp]) -> NDArray[np.intp]:
    """(B, N, k) the mode that the points of each point's unit labelled c really have; -1 for none."""
    real = np.full((len(labels), design.n_units, design.n_modes), -1, dtype=np.intp)
    unit = design.unit[design.prompt]
    real[np.arange(len(labels))[:, None], unit, labels] = design.mode
    return real[:, unit]
