"""How far each slice of prompts stands from the others: the weakest of several is a finding only if they
differ."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from margin.analysis.slices import SliceMargins, is_ranked
from margin.stats.estimate import Estimate
from margin.stats.multiplicity import simultaneous_estimates
from margin.stats.satterthwaite import satterthwaite


def slice_differences(
    found: SliceMargins, rng: np.random.Generator, level: float = 0.95
) -> dict[str, Estimate]:
    """Margin of each ranked slice less the mean margin of the other ranked slices, by the slice's name.

    Of slices that are alike one is always the lowest. It is weaker than the others where its interval lies
    below 0, for the intervals of all slices hold at once: that the lowest was picked afterwards is paid for.

    Parameters
    ----------
    found : by `slice_margins`.
    rng : of the multiplier bootstrap.
    level : probability with which all intervals of the column hold at once.

    Returns
    -------
    Differences of silhouettes, -2 to 2; empty with fewer than two ranked slices. Each interval is by
    Student's t, with the degrees of freedom that its slices' variances have together.

    What no prompt of a slice shows is in no interval: where few prompts in a hundred fail, a slice that holds
    none of these looks surer of itself than it is.

    Cost: (n + 10,000) G^2 for G ranked slices of n prompts.

    Source: as `simultaneous_estimates` and `satterthwaite`.
    """
    ranked = [place for place, margin in enumerate(found.margins) if is_ranked(margin)]
    G = len(ranked)
    if G < 2:
        return {}
    margins = [found.margins[place] for place in ranked]
    sizes = np.array([margin.n_clusters or margin.n_prompts for margin in margins], dtype=float)
    less_others = np.where(np.eye(G, dtype=bool), 1.0, -1.0 / (G - 1))
    # A slice's variance is corrected for its own size: that of the whole run is nearly 1.
    influence = found.influence.iloc[:, ranked].to_numpy() * np.sqrt(sizes / (sizes - 1))
    variances = [(margin.se or 0.0) ** 2 for margin in margins]
    differences = simultaneous_estimates(
        less_others @ [margin.estimate for margin in margins],
        influence @ less_others,
        rng,
        level=level,
        degrees=[_degrees(weights**2 * variances, sizes - 1) for weights in less_others],
        over=found.clusters,
    )
    return dict(zip((found.names[place] for place in ranked), differences, strict=True))


def _degrees(variances: NDArray[np.float64], degrees: NDArray[np.float64]) -> float:
    """Degrees of freedom of the sum of these variances, each with its own."""
    return satterthwaite(list(zip(variances.tolist(), degrees.tolist(), strict=True)))[1]
