"""The margin of each slice of prompts, with lower bounds that hold for all slices at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from margin.analysis.design import Design
from margin.analysis.distances import Distance
from margin.analysis.estimate import Estimate
from margin.analysis.influence import SilhouetteMean, influence
from margin.analysis.multiplicity import simultaneous_estimates
from margin.analysis.silhouette import mode_sums, silhouette
from margin.analysis.space import Space

MIN_PROMPTS = 30
"""Prompts a slice needs for its bound to hold; smaller slices are shown and marked, and never ranked."""


@dataclass(frozen=True, eq=False)
class SliceMargins:
    """Margins of the slices of one column."""

    column: str
    names: tuple[str, ...]
    """Values of the column, in order of first appearance."""
    margins: tuple[Estimate, ...]
    """Leave-prompt-out margin of each slice, with a simultaneous lower bound (`high` is None)."""

    @property
    def worst(self) -> str | None:
        """The slice of enough prompts with the lowest margin; None where no slice has enough."""
        ranked = [(e.estimate, name) for name, e in zip(self.names, self.margins, strict=True) if is_ranked(e)]
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
    """Whether a slice holds enough prompts to be compared with others."""
    return margin.n_prompts >= MIN_PROMPTS


def slice_margins(
    space: Space,
    design: Design,
    column: pd.Series,
    rng: np.random.Generator,
    distance: Distance = "cosine",
    level: float = 0.95,
) -> SliceMargins:
    """Margin of every slice of one column.

    A slice's margin is the mean of the leave-prompt-out silhouettes of its prompts. Their neighbours stay all prompts
    of the run: the question is how well these prompts are told apart by the modes as they stand, and slices remain
    comparable whatever their size.

    Parameters
    ----------
    column : values by prompt id (index); prompts without a value belong to no slice.
    level : probability with which all lower bounds hold at once.
    """
    values = column.reindex(list(design.prompt_ids))
    names = [str(name) for name in values.dropna().unique()]
    texts = values.astype("string").to_numpy(dtype=object, na_value=None)
    distances = space.distances(distance)
    sums = mode_sums(distances, design)
    overall = silhouette(sums.leave_prompt_out().mean, design.mode)
    parts = [SilhouetteMean(overall, (texts == name)[design.prompt].astype(np.float64)) for name in names]
    if not parts:
        return SliceMargins(str(column.name), (), ())
    bounds = simultaneous_estimates(
        [part.value for part in parts],
        influence(distances, sums, parts),
        rng,
        level=level,
        side="lower",
        n_prompts=[int((texts == name).sum()) for name in names],
    )
    return SliceMargins(str(column.name), tuple(names), tuple(bounds))
