"""How far each slice of prompts stands from the others: the weakest of several is a finding only if they
differ."""

from __future__ import annotations

import numpy as np

from margin.analysis.slices import SliceMargins, is_ranked
from margin.stats.clusters import Clusters
from margin.stats.estimate import Estimate
from margin.stats.multiplicity import simultaneous_estimates


def slice_differences(
    found: SliceMargins, rng: np.random.Generator, level: float = 0.95, over: Clusters | None = None
) -> dict[str, Estimate]:
    """Margin of each ranked slice less the mean margin of the other ranked slices, by the slice's name.

    Of slices that are alike one is always the lowest. It is weaker than the others where its interval lies
    below 0, for the intervals of all slices hold at once: that the lowest was picked afterwards is paid for.

    Parameters
    ----------
    found : by `slice_margins`.
    rng : of the multiplier bootstrap.
    level : probability with which all intervals hold at once.
    over : which prompts come in clusters.

    Returns
    -------
    Differences of silhouettes, -2 to 2; empty with fewer than two ranked slices. Each interval is by
    Student's t with the prompts (clusters) of its slice.

    Cost: (n + 10,000) G^2 for G ranked slices of n prompts.

    Source: as `simultaneous_estimates`.
    """
    ranked = [
        (name, margin) for name, margin in zip(found.names, found.margins, strict=True) if is_ranked(margin)
    ]
    G = len(ranked)
    if G < 2:
        return {}
    less_others = np.where(np.eye(G, dtype=bool), 1.0, -1.0 / (G - 1))
    names, margins = zip(*ranked, strict=True)
    differences = simultaneous_estimates(
        less_others @ [margin.estimate for margin in margins],
        found.influence[list(names)].to_numpy() @ less_others,
        rng,
        level=level,
        n_prompts=[margin.n_prompts for margin in margins],
        n_clusters=[margin.n_clusters or 0 for margin in margins],
        over=over,
    )
    return dict(zip(names, differences, strict=True))
