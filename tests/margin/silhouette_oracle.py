"""Margins by their definitions, one distance at a time, and paired data to try them on.

Everything here is O(N^2), in float64, and shares no line with the package: distances come from SciPy, the
mean distances are written as the definition of the leave-prompt-out silhouette says them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial.distance import cdist

from margin.analysis.metrics import Distance
from margin.analysis.space import Coordinates

Array = np.ndarray[Any, Any]
DISTANCES: tuple[Distance, ...] = ("cosine", "euclidean", "sqeuclidean", "hellinger2")


def any_points(X: Array, distance: Distance) -> Array | Coordinates:
    """Any points under any distance, as the kernel takes them: of arrays hellinger2 takes roots only."""
    return Coordinates(X) if distance == "hellinger2" else X


def pairwise(X: Array, distance: Distance) -> Array:
    """(N, N) distances. Cosine of a zero row, as scikit-learn has it: 1 from every other point."""
    X = np.asarray(X, dtype=np.float64)
    if distance == "cosine":
        norms = np.linalg.norm(X, axis=1, keepdims=True)
        unit = np.divide(X, norms, where=norms > 0, out=np.zeros_like(X))
        zero = norms[:, 0] == 0
        D: Array = cdist(unit, unit, "sqeuclidean") / 2
        D[zero] = D[:, zero] = 1
        np.fill_diagonal(D, 0)
        return D
    D = cdist(X, X, "sqeuclidean")
    found: Array = {"euclidean": np.sqrt(D), "sqeuclidean": D, "hellinger2": D / 2}[distance]
    return found


def samples(D: Array, mode: Array, prompt: Array, weight: Array | None = None, plain: bool = False) -> Array:
    """Silhouettes (N,) under weights by point, without the point's prompt or, if plain, without the point."""
    mode, prompt = np.asarray(mode), np.asarray(prompt)
    weight = np.ones(len(mode)) if weight is None else weight
    out = np.zeros(len(mode))
    for i in range(len(mode)):
        others = np.arange(len(mode)) != i if plain else prompt != prompt[i]
        means = {}
        for c in np.unique(mode):
            j = np.flatnonzero(others & (mode == c) & (weight > 0))
            if len(j):
                means[c] = weight[j] @ D[i, j] / weight[j].sum()
        a = means.pop(mode[i], None)
        b = min(means.values(), default=None)
        if a is not None and b is not None and max(a, b) > 0:
            out[i] = (b - a) / max(a, b)
    return out


def weighted_margin(D: Array, mode: Array, prompt: Array, weight_of_prompt: Array, share: Array) -> float:
    """Leave-prompt-out margin under prompt weights (n,): points weigh share * weight."""
    weight = weight_of_prompt[prompt]
    return float(np.average(samples(D, mode, prompt, weight), weights=weight * share))


def labels(n: int, k: int, rng: np.random.Generator, missing: float = 0.0) -> tuple[Array, Array]:
    """Mode and prompt (N,) in random row order; points of all but two prompts may be missing."""
    prompt, mode = np.divmod(np.arange(n * k), k)
    keep = (rng.random(n * k) >= missing) | (prompt < 2)
    order = rng.permutation(np.flatnonzero(keep))
    prompt = np.unique(prompt[order], return_inverse=True)[1]
    return mode[order], prompt


def paired_points(
    rng: np.random.Generator, mode: Array, prompt: Array, d: int = 6, separation: float = 1.0
) -> Array:
    """(N, d) points: a prompt effect, a mode effect that prompts take up more or less, noise."""
    n, k = prompt.max() + 1, mode.max() + 1
    of_prompt = rng.standard_normal((n, d)) + 2.0
    of_mode = separation * rng.standard_normal((k, d))
    gain = rng.gamma(4, 0.25, n)
    points: Array = (
        of_prompt[prompt] + gain[prompt, None] * of_mode[mode] + 0.7 * rng.standard_normal((len(mode), d))
    )
    return points
