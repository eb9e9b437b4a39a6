"""Do the modes differ at all? One test for variance split, energy distance and MMD.

With modes permuted within every prompt, all distances between prompts stay what they are and only move from
"within a mode" to "between modes". Every statistic that sets mean distances between modes against those
within is therefore one and the same function of the sum within: squared Euclidean distances make it the F
ratio of a permutational analysis of variance blocked by prompt (Anderson, 2001, "A new method for
non-parametric multivariate analysis of variance"), Euclidean distances the energy statistic (Rizzo and
Szekely, 2010, "DISCO analysis"), 1 - kernel the maximum mean discrepancy.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from margin.analysis.distances import Distances
from margin.analysis.permutation import CHUNK
from margin.analysis.separation.paired import points_by_prompt
from margin.stats.design import Design


def relabelling_p_value(
    distances: Distances, design: Design, rng: np.random.Generator, permutations: int = 999
) -> float:
    """P-value of no difference between modes, by permutation within prompts.

    Returns
    -------
    (1 + #{as small a sum of distances within modes}) / (permutations + 1), never 0.

    Cost: one product D @ M with M (N, k permutations); O(N d k) a permutation where the distance is linear.

    Raises
    ------
    MarginError : a prompt was not seen under every mode.
    """
    k = design.n_modes
    observed = _within(distances, design.mode[:, None], k)[0]
    # Relabellings that leave the data as they are give the same sum up to rounding, and count as reaching it.
    reached = observed * (1 + distances.resolution / 8)
    count = sum(
        int(np.sum(_within(distances, labels, k) <= reached))
        for labels in relabellings(design, rng, permutations)
    )
    return (1 + count) / (permutations + 1)


def relabellings(design: Design, rng: np.random.Generator, permutations: int) -> Iterator[NDArray[np.intp]]:
    """Mode indices (N, b), modes permuted within every prompt, b of the permutations at a time.

    The prompts of a cluster are permuted alike.

    Raises
    ------
    MarginError : a prompt was not seen under every mode.
    """
    points = points_by_prompt(design)
    n, k = points.shape
    step = max(1, CHUNK // (n * k * k))
    for start in range(0, permutations, step):
        many = min(step, permutations - start)
        labels = np.empty((n * k, many), dtype=np.intp)
        orders = rng.permuted(np.broadcast_to(np.arange(k)[:, None], (design.n_units, k, many)), axis=1)
        labels[points] = orders[design.unit]
        yield labels


def _within(distances: Distances, labels: NDArray[np.intp], n_modes: int) -> NDArray[np.float64]:
    """(B,) sum of the distances between points of one mode, under the labels (N, B)."""
    N = len(labels)
    # The last mode is what the others leave, so it needs no product of its own.
    members = (labels[:, None, :] == np.arange(n_modes - 1)[:, None]).astype(np.float32)
    product = distances.matmul(np.column_stack([members.reshape(N, -1), np.ones(N, dtype=np.float32)]))
    to_all, to_mode = product[:, -1], product[:, :-1].reshape(members.shape)
    last, to_last = 1 - members.sum(axis=1), to_all[:, None] - to_mode.sum(axis=1)
    sums: NDArray[np.float64] = np.einsum("icb,icb->b", members, to_mode)
    sums += np.einsum("ib,ib->b", last, to_last)
    return sums
