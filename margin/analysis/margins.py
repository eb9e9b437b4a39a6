"""Every margin of one space under one distance, with intervals that cover."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from margin.analysis.distances import Distances
from margin.analysis.influence import SilhouetteMean, influence
from margin.analysis.metrics import Distance
from margin.analysis.silhouette import mode_sums, one_vs_one, silhouette
from margin.analysis.space import Space
from margin.errors import MarginError
from margin.short import Short
from margin.stats.design import Design
from margin.stats.estimate import Estimate
from margin.stats.intervals import t_interval

Variant = Literal["plain", "leave_prompt_out", "prompt_centred"]


@dataclass(frozen=True, eq=False)
class Margins(Short):
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


def leave_prompt_out_margin(distances: Distances, design: Design) -> tuple[float, NDArray[np.float64]]:
    """Leave-prompt-out margin and the influence (n,) of each prompt on it."""
    sums = mode_sums(distances, design)
    overall = silhouette(sums.leave_prompt_out().mean, design.mode)
    part = SilhouetteMean(overall, np.ones(design.n_points))
    return part.value, influence(distances, sums, [part])[:, 0]


def check_lengths(space: Space, design: Design) -> None:
    """MarginError where a design is not of as many points as the space."""
    if space.n_points != design.n_points:
        raise MarginError(f"{space.n_points} points but {design.n_points} modes: give one mode a point")


def check_design(space: Space, design: Design) -> None:
    """MarginError where a design does not fit the space, or holds too few prompts to leave one out."""
    check_lengths(space, design)
    if design.n_prompts < 2:
        raise MarginError("a leave-prompt-out margin needs at least two prompts, got one")
    if design.n_units < 2:
        raise MarginError("all prompts are of one cluster: a margin over clusters needs at least two")


def check_crossed(design: Design) -> None:
    """MarginError where no prompt stands under two modes.

    Then each prompt's mean is its only point, so that every centred one is 0, and no relabelling within a
    prompt changes anything: a shift of 0 and a p-value of 1 would be numbers of nothing.
    """
    if design.n_points == design.n_prompts:
        raise MarginError(
            "no prompt stands under two modes, so nothing can be compared within one: give each prompt its "
            "point under every mode, or take margin.sam, which asks it of none but prompt_centred"
        )
