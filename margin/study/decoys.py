"""The decoy sets of a run: which rows they are, and their points in any space, beside the live tokens'."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from margin.analysis.separation.tokens import TokenTables
from margin.analysis.space import Gram, Space
from margin.inputs.conditions import CONDITIONS
from margin.run.run import Run
from margin.short import Short
from margin.stats.design import Design
from margin.study.spaces import all_rows, clusters_of, design_of

KIND = CONDITIONS["decoy"].name
"""Kind of the rows of decoy sets: draw m * k + c is the token of set m in the place of mode c's."""
DISTRIBUTIONS = "probabilities"
"""Space of whole next-token distributions."""


@dataclass(frozen=True, eq=False)
class DecoyRows(Short):
    """Places in a run of the rows of M decoy sets, and of the live tokens on the same prompts."""

    design: Design
    """Prompts and modes of each set's points; a decoy stands in for the mode whose place its token has."""
    live: NDArray[np.int64]
    """(N,) rows of the modes, in the order of the design."""
    sets: NDArray[np.int64]
    """(M, N) rows of each set, in the order of the design."""

    def spaces(self, run: Run, name: str) -> Iterator[Space]:
        """Points of the live tokens in a space, then of each set it holds; nothing without the live."""
        space, rows = all_rows(run, name)
        place = np.full(len(run.rows), -1, dtype=np.int64)
        place[rows] = np.arange(len(rows))
        if (place[self.live] < 0).any():
            return
        for wanted in (self.live, *self.sets):
            there = place[wanted]
            if (there >= 0).all():
                yield space.subset(there)

    def tokens(self, run: Run, cluster: str | None = None) -> list[TokenTables]:
        """What is kept of whole next-token distributions: of the live tokens, on the prompts of the design in
        its order, then of each set; nothing where a run is from before that of sets was kept.
        """
        if run.decoy_pairs is None or run.decoy_information is None:
            return []
        pairs, information = run.decoy_pairs.groupby("set"), run.decoy_information.groupby("set")
        tables = [(run.pairs, run.information)]
        tables += [(pairs.get_group(m), information.get_group(m)) for m in range(len(self.sets))]
        prompts, clusters = list(self.design.prompt_ids), clusters_of(run, cluster)

        def in_order(table: pd.DataFrame) -> pd.DataFrame:
            return table.set_index("prompt_id").loc[prompts].reset_index()

        return [
            TokenTables(in_order(a), in_order(b), modes=tuple(run.modes), clusters=clusters)
            for a, b in tables
        ]

    def distributions(self, run: Run) -> tuple[Design, list[Space]]:
        """Next-token distributions as square roots of probabilities: the design of the prompts they are kept
        of, and points of the live tokens, then of each set; no points where those of sets were not kept.
        """
        kept = run.decoy_grams()
        if kept is None:
            return self.design, []
        rows, products = kept
        of_live, live_products = run.hellinger_gram()
        place = np.full(len(run.rows), -1, dtype=np.int64)
        place[of_live] = np.arange(len(of_live))
        there = np.isin(self.sets[0], rows[0])
        live = place[self.live[there]]
        spaces: list[Space] = [Gram(live_products[np.ix_(live, live)], DISTRIBUTIONS)]
        for wanted, stored, block in zip(self.sets[:, there], rows, products, strict=True):
            order = np.argsort(stored)[np.searchsorted(np.sort(stored), wanted)]
            spaces.append(Gram(block[np.ix_(order, order)], DISTRIBUTIONS))
        return self.design.part(there), spaces


def decoy_rows(run: Run, cluster: str | None = None) -> DecoyRows | None:
    """The decoy sets of a run; None where it was collected without."""
    rows = run.rows
    decoys = rows[rows["kind"] == KIND]
    if decoys.empty:
        return None
    modes = run.modes
    prompts = decoys["prompt_id"].unique()
    live = rows[(rows["kind"] == "mode") & rows["prompt_id"].isin(prompts)]
    of_live = live["row"].to_numpy()
    design = design_of(run, of_live, cluster)
    slot = np.array([modes.index(name) for name in live["condition"]])
    by_draw = decoys.set_index(["prompt_id", "draw"])["row"]
    sets = int(decoys["draw"].max() + 1) // len(modes)
    places = [
        by_draw.loc[list(zip(live["prompt_id"], m * len(modes) + slot, strict=True))].to_numpy()
        for m in range(sets)
    ]
    return DecoyRows(design, of_live, np.array(places))
