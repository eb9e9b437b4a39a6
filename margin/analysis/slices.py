"""The margin of each slice of prompts, with lower bounds that hold for all slices at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from margin.analysis.influence import SilhouetteMean, influence
from margin.analysis.margins import check_design
from margin.analysis.metrics import Distance
from margin.analysis.silhouette import mode_sums, silhouette
from margin.analysis.space import Space
from margin.errors import MarginError
from margin.short import Short
from margin.stats.clusters import Clusters
from margin.stats.design import Design
from margin.stats.estimate import Estimate
from margin.stats.multiplicity import simultaneous_estimates

MIN_PROMPTS = 30
"""Prompts (effective clusters of them) a slice needs for its bound to hold; smaller slices are shown without
one, and never ranked."""

MOST_SLICES = 50
"""A column with more values than this is no slicing (an author, a date) and is left out."""

LONGEST_NAME = 120
"""Characters of a value that names a slice: a column with a longer one holds text (a note, an answer)."""


def slicing(labels: pd.DataFrame) -> tuple[list[str], dict[str, str]]:
    """The columns that prompts are sliced by, and of each other column why they are not."""
    told = {str(column): _why_none(labels[column].dropna()) for column in labels}
    why = {column: reason for column, reason in told.items() if reason}
    return [column for column in told if column not in why], why


def _why_none(values: pd.Series) -> str:
    """Why a column's values are no slices; empty where they are."""
    n = values.nunique()
    if n < 2:
        return "one value" if n else "no value"
    if n > MOST_SLICES:
        return f"{n} values, over {MOST_SLICES}"
    if n == len(values):
        return "every prompt has its own value"
    longest = max(len(str(value)) for value in values.unique())
    return f"values of up to {longest:,} characters, over {LONGEST_NAME}" if longest > LONGEST_NAME else ""


@dataclass(frozen=True, eq=False)
class SliceMargins(Short):
    """Margins of the slices of one column."""

    column: str
    names: tuple[str, ...]
    """Values of the column, in order of first appearance."""
    margins: tuple[Estimate, ...]
    """Leave-prompt-out margin of each slice; ranked ones have a simultaneous lower bound (`high` is None)."""
    influence: pd.DataFrame
    """Influence of every prompt (index: prompt id), as a neighbour where it is outside, on each slice."""
    clusters: Clusters | None = None
    """The clusters of all prompts; None where they are independent."""

    @property
    def worst(self) -> str | None:
        """The slice of enough prompts with the lowest margin; None where no slice has enough."""
        ranked = [
            (e.estimate, name) for name, e in zip(self.names, self.margins, strict=True) if is_ranked(e)
        ]
        return min(ranked)[1] if ranked else None

    def to_frame(self) -> pd.DataFrame:
        """One line a slice: column, slice, ranked, worst, and the fields of the estimate."""
        return pd.DataFrame(
            [
                {"column": self.column, "slice": name, "ranked": is_ranked(e), "worst": name == self.worst}
                | e.to_dict()
                for name, e in zip(self.names, self.margins, strict=True)
            ]
        )


def is_ranked(margin: Estimate) -> bool:
    """Whether a slice holds enough prompts (or clusters) to be compared with others: it has a bound."""
    return margin.low is not None


def slice_margins(
    space: Space,
    design: Design,
    column: pd.Series,
    rng: np.random.Generator,
    distance: Distance = "cosine",
    level: float = 0.95,
) -> SliceMargins:
    """Margin of every slice of one column.

    A slice's margin is the mean of the leave-prompt-out silhouettes of its prompts. Their neighbours stay all
    prompts of the run: the question is how well these prompts are told apart by the modes as they stand, and
    slices remain comparable whatever their size.

    Parameters
    ----------
    column : values by prompt id (index); prompts without a value belong to no slice.
    level : probability with which the lower bounds of all slices of at least `MIN_PROMPTS` hold at once.
        Where prompts come in clusters, effective ones count (n^2 / sum n_g^2): a large cluster among single
        prompts is most of what a slice's margin depends on, and nothing tells how far such clusters vary.

    Raises
    ------
    MarginError : fewer than two prompts, a design that does not fit the space, a column that knows none of
        the prompts.

    Cost: one product D @ M with M (N, k G) for G slices; O(N d k G) where the distance is linear.
    """
    check_design(space, design)
    column = column[column.index.isin(design.prompt_ids)]
    if column.empty:
        raise MarginError(f"column {column.name!r} holds none of the prompts: index it by prompt id")
    codes, values = pd.factorize(column)
    codes = pd.Series(codes, column.index).reindex(design.prompt_ids, fill_value=-1).to_numpy()
    prompts = pd.Index(design.prompt_ids, name="prompt_id")
    if not len(values):
        return SliceMargins(str(column.name), (), (), pd.DataFrame(index=prompts))
    distances = space.distances(distance)
    sums = mode_sums(distances, design)
    overall = silhouette(sums.leave_prompt_out().mean, design.mode)
    in_slice = (codes[:, None] == np.arange(len(values)))[design.prompt].astype(np.float64)
    parts = [SilhouetteMean(overall, weights) for weights in in_slice.T]
    margins = [
        Estimate(
            part.value,
            n_prompts=int(np.sum(codes == g)),
            n_clusters=None if design.clusters is None else len(design.clusters.part(codes == g)),
        )
        for g, part in enumerate(parts)
    ]
    U = influence(distances, sums, parts)
    bounded = [g for g in range(len(values)) if _units(codes == g, design.clusters) >= MIN_PROMPTS]
    if bounded:
        bounds = simultaneous_estimates(
            [margins[g].estimate for g in bounded],
            U[:, bounded],
            rng,
            level=level,
            side="lower",
            n_prompts=[margins[g].n_prompts for g in bounded],
            n_clusters=[margins[g].n_clusters or 0 for g in bounded],
            over=design.clusters,
        )
        for g, bound in zip(bounded, bounds, strict=True):
            margins[g] = bound
    names = tuple(str(value) for value in values)
    return SliceMargins(
        str(column.name),
        names,
        tuple(margins),
        pd.DataFrame(U, index=prompts, columns=list(names)),
        design.clusters,
    )


def _units(prompts: NDArray[np.bool_], clusters: Clusters | None) -> float:
    """Prompts (effective clusters of them) that a slice holds."""
    return float(np.sum(prompts)) if clusters is None else clusters.part(prompts).effective
