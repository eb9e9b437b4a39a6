"""Prompts that hang together, to draw runs from and to see what intervals over clusters cover."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from margin.stats.design import Design, make_design
from tests.margin.silhouette_oracle import Array

K, D = 3, 16


@dataclass(frozen=True)
class Clustered:
    """Prompts whose own place, and how they take the modes up, are alike within a cluster."""

    strength: float
    """Size of the modes' effects, prompts being spread by 1 a coordinate; 0 is the null."""
    correlation: float
    """Within clusters, of all that prompts differ in."""
    clusters: int = 15
    sizes: tuple[int, int] = (3, 10)
    """Least and most prompts of a cluster, each number as likely."""

    def runs(self, rng: np.random.Generator, count: int = 1) -> tuple[list[Array], Design]:
        """Points (n k, d) of runs on the same prompts, each with half of the last one's reactions to the
        modes, and their design."""
        size = rng.integers(self.sizes[0], self.sizes[1] + 1, self.clusters)
        cluster = np.repeat(np.arange(self.clusters), size)
        n, share = len(cluster), np.sqrt([self.correlation, 1 - self.correlation])

        def mixed(*shape: int) -> Array:
            of_cluster = rng.standard_normal((self.clusters, *shape))[cluster]
            found: Array = share[0] * of_cluster + share[1] * rng.standard_normal((n, *shape))
            return found

        fixed = np.random.default_rng(9)  # the population's own constants
        effects = self.strength * fixed.standard_normal((K, D)) / np.sqrt(D)
        shared = 1 + mixed(D)[:, None] + np.exp(0.4 * mixed() - 0.08)[:, None, None] * effects
        reaction, found = mixed(K, D), []
        for _ in range(count):
            found.append((shared + 0.6 * reaction + 0.3 * rng.standard_normal((n, K, D))).reshape(n * K, D))
            reaction = (reaction + mixed(K, D)) / np.sqrt(2)
        modes, prompts = np.tile(list("abc"), n), np.repeat([f"p{i:03d}" for i in range(n)], K)
        return found, make_design(modes, prompts, np.repeat(cluster, K))
