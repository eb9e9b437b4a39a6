"""The Safety Alignment Margin: mean silhouette of the modes (arXiv 2508.14904), with intervals that cover."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from margin.analysis.margins import (
    Variant,
    check_crossed,
    check_design,
    check_lengths,
    leave_prompt_out_margin,
)
from margin.analysis.metrics import Distance
from margin.analysis.silhouette import mode_sums, silhouette
from margin.analysis.space import Coordinates, Space
from margin.analysis.vectors import require_resolved
from margin.arguments import matrix, named, require_level, require_roots
from margin.errors import MarginError
from margin.stats.design import make_design
from margin.stats.estimate import Estimate
from margin.stats.intervals import t_interval


@named
def sam(
    X: ArrayLike | Space,
    modes: ArrayLike | Sequence[object],
    prompts: ArrayLike | Sequence[object],
    distance: Distance = "cosine",
    variant: Variant = "leave_prompt_out",
    level: float = 0.95,
    clusters: ArrayLike | Sequence[object] | None = None,
) -> Estimate:
    """Safety Alignment Margin of one space.

    Parameters
    ----------
    X : (N, d) points: an array, a table, a tensor, lists (square roots of probabilities for "hellinger2"), or
        a Space. float32 and float16 are worked on in float32, everything else in float64.
    modes, prompts : (N,) mode and prompt of each point; a prompt stands at most once under a mode.
    distance : "cosine", "euclidean", "sqeuclidean" or "hellinger2".
    variant : "leave_prompt_out" and "prompt_centred" carry a jackknife t interval; "plain" has none.
    level : nominal coverage of the interval.
    clusters : (N,) what the prompt of each point hangs together with, such as its template; clusters are then
        left out of their own mean distances, and the interval is over clusters.

    Returns
    -------
    Estimate in [-1, 1]; 0 means that the modes overlap, 1 that each is a point far from the others.

    Raises
    ------
    MarginError : one mode, fewer than two prompts, lengths that differ, NaN or infinite points, an argument
        of another kind; for "prompt_centred" no prompt under two modes; under "hellinger2" an array that
        holds no square roots of probabilities.

    Example
    -------
    >>> import margin
    >>> import numpy as np
    >>> modes, prompts = ["neg", "pos"] * 40, np.repeat(range(40), 2)  # each prompt under both modes
    >>> X = np.random.default_rng(0).normal(size=(80, 8)) + np.tile([[0.0], [1.0]], (40, 8))
    >>> print(margin.sam(X, modes, prompts))
    0.211 [0.143, 0.280]
    """
    require_level(level)
    space = _as_space(X, distance)
    design = make_design(modes, prompts, clusters)
    check_design(space, design)
    match variant:
        case "plain":
            sums = mode_sums(space.distances(distance), design)
            value = silhouette(sums.plain().mean, design.mode).samples.mean()
            return Estimate(float(value), n_prompts=design.n_prompts)
        case "leave_prompt_out":
            found = leave_prompt_out_margin(space.distances(distance), design)
            return t_interval(*found, level, over=design.clusters)
        case "prompt_centred":
            check_crossed(design)
            distances = space.centred_by_prompt(design).distances(distance)
            return t_interval(*leave_prompt_out_margin(distances, design), level, over=design.clusters)
    raise MarginError(f"unknown variant {variant!r}: take one of {', '.join(get_args(Variant))}")


@named
def silhouette_samples(
    X: ArrayLike | Space,
    modes: ArrayLike | Sequence[object],
    prompts: ArrayLike | Sequence[object] | None = None,
    distance: Distance = "cosine",
) -> NDArray[np.float64]:
    """Silhouette of every point, float64 (N,) in [-1, 1].

    Without `prompts` these are the plain silhouettes of scikit-learn's function of this name, for the linear
    distances in O(N d k) instead of O(N^2 d); under cosine a zero row, which has no direction, is 1 from
    every other point. With `prompts` the silhouettes are leave-prompt-out. Arguments and errors as in `sam`.

    Example
    -------
    >>> import margin
    >>> X, modes = [[1, 0], [0, 1], [1, 0.2], [0.1, 1]], ["pos", "neg", "pos", "neg"]
    >>> margin.silhouette_samples(X, modes, distance="euclidean").round(2).tolist()
    [0.86, 0.93, 0.84, 0.92]
    """
    space = _as_space(X, distance)
    design = make_design(modes, prompts)
    check_lengths(space, design)
    if prompts is None:
        return silhouette(mode_sums(space.distances(distance), design).plain().mean, design.mode).samples
    check_design(space, design)
    return silhouette(
        mode_sums(space.distances(distance), design).leave_prompt_out().mean, design.mode
    ).samples


def _as_space(X: ArrayLike | Space, distance: Distance) -> Space:
    if isinstance(X, Space):
        return X
    points = matrix(X, "X")
    if distance == "hellinger2":
        require_roots(points, "X")
    require_resolved(points)
    return Coordinates(points)
