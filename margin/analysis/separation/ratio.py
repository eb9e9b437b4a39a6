"""How far the mode moves a prompt, against how far prompts differ anyway."""

from __future__ import annotations

import numpy as np

from margin.analysis.distances import Distances
from margin.analysis.separation.energy import distances_to_other_prompts
from margin.analysis.separation.paired import points_by_prompt
from margin.analysis.separation.pairs import pair_mean
from margin.analysis.silhouette import counterpart_distances
from margin.errors import MarginError
from margin.stats.design import Design
from margin.stats.estimate import Estimate
from margin.stats.intervals import t_interval


def paired_distance_ratio(distances: Distances, design: Design, level: float = 0.95) -> Estimate:
    """Mean distance from mode to mode of one prompt, over that from prompt to prompt of one mode.

    Parameters
    ----------
    distances : any, usually Euclidean, between the N points of a complete design.

    Returns
    -------
    0 where the mode changes nothing, 1 where changing the mode moves a point as far as changing the prompt;
    no unit, no upper end. Interval by the infinitesimal jackknife over prompts.

    Cost: O(N^2 d) for Euclidean distances, O(N d k) for linear ones. A ratio of the two means that a paired
    permutation analysis compares (Mielke and Berry, 2007, "Permutation Methods: A Distance Function
    Approach").

    Raises
    ------
    MarginError : a prompt was not seen under every mode, or all prompts coincide under every mode.
    """
    n, k = design.n_prompts, design.n_modes
    paired = counterpart_distances(distances, design)[points_by_prompt(design)].sum(axis=(1, 2)) / (
        k * (k - 1)
    )
    sums = np.trace(distances_to_other_prompts(distances, design), axis1=1, axis2=2) / k
    across = pair_mean(sums, design)
    if across.value <= distances.resolution * paired.mean() or across.value == 0:
        raise MarginError("paired-distance ratio undefined: within each mode all prompts coincide")
    value = paired.mean() / across.value
    influence = ((paired - paired.mean()) / n - value * across.influence) / across.value
    return t_interval(float(value), influence, level, over=design.clusters)
