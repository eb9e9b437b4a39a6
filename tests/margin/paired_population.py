"""A population of prompts to draw runs from, so that an interval can be held against the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from margin.stats.design import Design, make_design
from tests.margin.silhouette_oracle import Array


@dataclass(frozen=True)
class Population:
    """Prompts come in topics, lie heavy-tailed about them, and take each mode up to a degree of their own."""

    separation: float
    """Length of the mode effects, the noise being about 1.4 a coordinate; 0 is the null."""
    collapsed: bool = False
    """Whether the last two modes are one and the same."""
    d: int = 12
    k: int = 3

    def draw(self, n: int, rng: np.random.Generator) -> tuple[Array, Design]:
        """Points (n k, d) of n prompts under every mode, and their design."""
        fixed = np.random.default_rng(0)  # the population's own constants
        topics = 1.5 * fixed.standard_normal((5, self.d))
        effects = self.separation * np.linalg.qr(fixed.standard_normal((self.d, self.d)))[0][: self.k]
        if self.collapsed:
            effects[-1] = effects[-2]
        prompts = 2 + topics[rng.integers(5, size=n)] + rng.standard_t(4, (n, self.d))
        gain = rng.gamma(4, 0.25, n)
        noise = rng.standard_t(4, (n, self.k, self.d))
        X = prompts[:, None] + gain[:, None, None] * effects + noise
        design = make_design(np.tile(np.arange(self.k), n), np.repeat(np.arange(n), self.k))
        return X.reshape(-1, self.d), design
