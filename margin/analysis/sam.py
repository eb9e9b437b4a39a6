"""The Safety Alignment Margin: mean silhouette of the modes (arXiv 2508.14904), with intervals that cover."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from margin.analysis.distances import Distances
from margin.analysis.influence import SilhouetteMean, influence
from margin.analysis.metrics import Distance
from margin.analysis.silhouette import mode_sums, one_vs_one, silhouette
from margin.analysis.space import Coordinates, Space
from margin.arguments import matrix, require_level
from margin.errors import MarginError
from margin.stats.design import Design, make_design
from margin.stats.estimate import Estimate
from margin.stats.intervals import t_interval

Variant = Literal["plain", "leave_prompt_out", "prompt_centred"]


@dataclass(frozen=True, eq=False)
class Margins:
    """The margins of one space under one distance.

    `plain` is what scikit-learn and the literature compute: to compare with, without an interval, since it
    moves with the number of prompts. `leave_prompt_out` is the one to infer on. `prompt_centred` is
    leave-prompt-out after each prompt's mean over modes is taken away: the separation that the variety of
    prompts would otherwise swamp.

    An interval covers the expected margin of a run of as many prompts. That is the margin of endlessly many
    but where three modes or more hardly differ: the nearest of several equal rivals wins, by some
    1 / sqrt(n), so the margin lies below its limit, and is read beside the permutation null. Where modes make
    no difference at all (in the null, on a collapsed pair) influences vanish to first order and intervals of
    95% cover .97 to .99: what prompts do in pairs is then counted twice (Efron and Stein, 1981). It is left
    there, for taken away it would cost coverage where modes differ a little, down to .88. Whether modes
    differ at all is told by the p-values of the null and, for every pair, of the separation measures. In one
    or two dimensions margins are far from normal: at 100 prompts intervals of small ones cover .87 to .94.
    """

    space: str
    distance: Distance
    plain: Estimate
    leave_prompt_out: Estimate
    prompt_centred: Estimate
    per_mode: dict[str, Estimate]
    """Leave-prompt-out mean over each mode's points."""
    one_vs_one: dict[tuple[str, str], Estimate]
    """Leave-prompt-out margin of each pair of modes alone: shows a pair that collapsed."""
    samples: NDArray[np.float64]
    """(N,) leave-prompt-out silhouettes."""
    influence: pd.DataFrame
    """Influence of each prompt (index: prompt id) on each margin that has an interval: columns
    leave_prompt_out, prompt_centred, then the modes, then the pairs as "a / b"."""

    @property
    def estimates(self) -> dict[str, Estimate]:
        """Every margin that has an interval, named as the columns of `influence`."""
        pairs = {pair_name(pair): estimate for pair, estimate in self.one_vs_one.items()}
        return {
            "leave_prompt_out": self.leave_prompt_out,
            "prompt_centred": self.prompt_centred,
            **self.per_mode,
            **pairs,
        }

    def to_frame(self) -> pd.DataFrame:
        """One line a margin: quantity, name, and the fields of its estimate."""
        lines = [("sam", variant, getattr(self, variant)) for variant in get_args(Variant)]
        lines += [("per_mode", mode, estimate) for mode, estimate in self.per_mode.items()]
        lines += [("one_vs_one", pair_name(pair), estimate) for pair, estimate in self.one_vs_one.items()]
        records = [{"quantity": quantity, "name": name, **e.to_dict()} for quantity, name, e in lines]
        return pd.DataFrame(records).assign(space=self.space, distance=self.distance)


def pair_name(pair: tuple[str, str]) -> str:
    """Name of a pair of modes: "a / b"."""
    return " / ".join(pair)


def margins(space: Space, design: Design, distance: Distance = "cosine", level: float = 0.95) -> Margins:
    """Every margin of one space under one distance.

    Cost: O(N d k^3) time and two centred copies of the points for the linear distances (cosine, squared
    Euclidean, Hellinger^2); O(N^2 d) for Euclidean.

    Raises
    ------
    MarginError : fewer than two prompts, a design that does not fit the space, NaN or infinite points.
    """
    check_design(space, design)
    # First, so that its copies of the points are gone before the next one is made.
    centred, centred_influence = leave_prompt_out_margin(
        space.centred_by_prompt(design).distances(distance), design
    )
    distances = space.distances(distance)
    sums = mode_sums(distances, design)
    left_out = sums.leave_prompt_out().mean
    overall = silhouette(left_out, design.mode)
    pairs = list(combinations(range(design.n_modes), 2))
    parts = [SilhouetteMean(overall, np.ones(design.n_points))]
    parts += [SilhouetteMean(overall, design.onehot[:, mode]) for mode in range(design.n_modes)]
    parts += [
        SilhouetteMean(one_vs_one(left_out, design.mode, a, b), design.onehot[:, [a, b]].sum(axis=1))
        for a, b in pairs
    ]
    U = influence(distances, sums, parts)
    estimates = [t_interval(part.value, U[:, g], level, over=design.clusters) for g, part in enumerate(parts)]
    plain = silhouette(sums.plain().mean, design.mode).samples.mean()
    pair_names = [pair_name((design.modes[a], design.modes[b])) for a, b in pairs]
    return Margins(
        space=space.name,
        distance=distance,
        plain=Estimate(float(plain), n_prompts=design.n_prompts),
        leave_prompt_out=estimates[0],
        prompt_centred=t_interval(centred, centred_influence, level, over=design.clusters),
        per_mode=dict(zip(design.modes, estimates[1 : 1 + design.n_modes], strict=True)),
        one_vs_one={
            (design.modes[a], design.modes[b]): estimate
            for (a, b), estimate in zip(pairs, estimates[1 + design.n_modes :], strict=True)
        },
        samples=overall.samples,
        influence=pd.DataFrame(
            np.column_stack([U[:, 0], centred_influence, U[:, 1:]]),
            index=pd.Index(design.prompt_ids, name="prompt_id"),
            columns=["leave_prompt_out", "prompt_centred", *design.modes, *pair_names],
        ),
    )


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
        of another kind.

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
    space = _as_space(X)
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
            distances = space.centred_by_prompt(design).distances(distance)
            return t_interval(*leave_prompt_out_margin(distances, design), level, over=design.clusters)
    raise MarginError(f"unknown variant {variant!r}: take one of {', '.join(get_args(Variant))}")


def leave_prompt_out_margin(distances: Distances, design: Design) -> tuple[float, NDArray[np.float64]]:
    """Leave-prompt-out margin and the influence (n,) of each prompt on it."""
    sums = mode_sums(distances, design)
    overall = silhouette(sums.leave_prompt_out().mean, design.mode)
    part = SilhouetteMean(overall, np.ones(design.n_points))
    return part.value, influence(distances, sums, [part])[:, 0]


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
    space = _as_space(X)
    design = make_design(modes, prompts)
    _check_lengths(space, design)
    if prompts is None:
        return silhouette(mode_sums(space.distances(distance), design).plain().mean, design.mode).samples
    check_design(space, design)
    return silhouette(
        mode_sums(space.distances(distance), design).leave_prompt_out().mean, design.mode
    ).samples


def _as_space(X: ArrayLike | Space) -> Space:
    if isinstance(X, Space):
        return X
    return Coordinates(matrix(X, "X"))


def _check_lengths(space: Space, design: Design) -> None:
    if space.n_points != design.n_points:
        raise MarginError(f"{space.n_points} points but {design.n_points} modes: give one mode a point")


def check_design(space: Space, design: Design) -> None:
    """MarginError where a design does not fit the space, or holds too few prompts to leave one out."""
    _check_lengths(space, design)
    if design.n_prompts < 2:
        raise MarginError("a leave-prompt-out margin needs at least two prompts, got one")
    if design.n_units < 2:
        raise MarginError("all prompts are of one cluster: a margin over clusters needs at least two")
