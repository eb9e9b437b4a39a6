"""Which prompts hang together: templates, paraphrases, translations of one question, one passage.

Prompts of a cluster resemble each other, so the clusters are the independent units, not the prompts (Cameron
and Miller, 2015, "A practitioner's guide to cluster-robust inference").
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from margin.short import Short


@dataclass(frozen=True, eq=False)
class Clusters(Short):
    """The cluster of each of n prompts."""

    code: NDArray[np.intp]
    """(n,) index of each prompt's cluster, 0 to G-1; each has at least one prompt."""

    def __len__(self) -> int:
        return len(self.sizes)

    @cached_property
    def sizes(self) -> NDArray[np.intp]:
        """(G,) prompts in each cluster."""
        return np.bincount(self.code)

    @property
    def effective(self) -> float:
        """n^2 / sum of n_g^2: how many clusters of equal size would tell as much."""
        return float(len(self.code) ** 2 / np.sum(self.sizes**2))

    def sums(self, of_prompt: NDArray[np.floating]) -> NDArray[np.float64]:
        """Sums of values (n, ...) over the prompts of each cluster: (G, ...)."""
        sums = np.zeros((len(self), *of_prompt.shape[1:]))
        np.add.at(sums, self.code, of_prompt)
        return sums

    def part(self, prompts: NDArray[np.intp] | NDArray[np.bool_]) -> Clusters:
        """The clusters of some prompts, numbered anew."""
        return Clusters(np.unique(self.code[prompts], return_inverse=True)[1].astype(np.intp))


def make_clusters(labels: ArrayLike) -> Clusters:
    """Clusters of prompts from a label each (n,); a prompt without one (None, NaN) is a cluster of its own.

    Example
    -------
    >>> make_clusters(["a", "b", "a", None]).sizes.tolist()
    [2, 1, 1]
    """
    codes, _ = pd.factorize(np.asarray(labels, dtype=object))
    alone = codes < 0
    codes = codes.astype(np.intp)
    codes[alone] = codes.max(initial=-1) + 1 + np.arange(int(alone.sum()))
    return Clusters(codes)
