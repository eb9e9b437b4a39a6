"""Do prompts resemble each other, so that intervals over prompts are too narrow?

Prompts of one template or topic move a margin together. How much wider an interval over groups is, squared,
is the design effect (Kish, 1965, "Survey Sampling"); whether that is more than chance would give is told by
dealing the influences to the groups anew.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array, triu
from scipy.sparse.csgraph import connected_components

from margin.analysis.vectors import blocks
from margin.short import Short
from margin.stats.clusters import Clusters, make_clusters
from margin.stats.intervals import jackknife_variance

PERMUTATIONS = 999
ALIKE = 0.7
"""Share of two texts' words that they have in common from which on they are near-duplicates."""
MOST_SHARED = 50
"""Texts that hold a word beyond which the word tells nothing of who resembles whom."""
PAIRS = 2**16
"""Pairs of texts whose words are compared at a time."""


@dataclass(frozen=True)
class Dependence(Short):
    """How far the prompts of a grouping hang together in one number."""

    grouping: str
    """Column of the prompts, or what else groups them."""
    groups: int
    design_effect: float
    """Variance over groups divided by that over prompts; 1 for independent prompts."""
    p_value: float
    """Of independent prompts, by dealing the influences to the groups anew."""


def dependence(
    grouping: str, influence: NDArray[np.float64], clusters: Clusters, rng: np.random.Generator
) -> Dependence:
    """Whether prompts of a group move a number together.

    Parameters
    ----------
    influence : (n,) influence of each prompt on the number.
    clusters : group of each prompt, two groups or more.

    Cost: O(n permutations).
    """

    def effect(values: NDArray[np.float64]) -> float:
        over_prompts = float(jackknife_variance(values))
        over_groups = float(jackknife_variance(clusters.sums(values)))
        return over_groups / over_prompts if over_prompts > 0 else 1.0

    observed = effect(influence)
    dealt = [effect(rng.permutation(influence)) for _ in range(PERMUTATIONS)]
    reached = int(np.sum(np.array(dealt) >= observed - 1e-12))
    return Dependence(grouping, len(clusters), observed, (1 + reached) / (PERMUTATIONS + 1))


def near_duplicates(texts: Sequence[str], alike: float = ALIKE) -> Clusters:
    """Groups of texts that are the same but for a few words.

    Two texts are joined where the words they share are at least `alike` of all words of the two (Jaccard),
    and groups are closed under that. Texts without blanks, as Chinese, are compared by pairs of characters.

    Cost: O(pairs of texts that share a rare word).

    Example
    -------
    >>> texts = ["how do I bake good bread", "how do I bake good cake", "what is rain"]
    >>> near_duplicates(texts).sizes.tolist()
    [2, 1]
    """
    words = [_words(text) for text in texts]
    number = np.array([len(of_text) for of_text in words])
    rows = np.repeat(np.arange(len(texts)), number)
    columns, _ = pd.factorize(np.array([word for of_text in words for word in of_text]))
    holds = csr_array((np.ones(len(rows), dtype=np.int32), (rows, columns)))
    rare = holds[:, np.flatnonzero(holds.sum(axis=0) <= MOST_SHARED)]
    first, second = triu(rare @ rare.T, k=1).nonzero()
    shared = np.zeros(len(first), dtype=np.int32)
    for some in blocks(len(first), PAIRS):
        shared[some] = holds[first[some]].multiply(holds[second[some]]).sum(axis=1)
    joined = shared >= alike * (number[first] + number[second] - shared)
    edges = coo_array((joined[joined], (first[joined], second[joined])), shape=(len(texts), len(texts)))
    return make_clusters(pd.factorize(connected_components(edges, directed=False)[1])[0])


def _words(text: str) -> frozenset[str]:
    """Words of a text, without case; of a text of few blanks its pairs of characters."""
    found = re.findall(r"\w+", text.casefold())
    if len(found) < 4:
        joined = "".join(found)
        found = [joined[i : i + 2] for i in range(max(len(joined) - 1, 1))]
    return frozenset(found)
