"""Checkpoints with a planted correlation: trainings, measurement error in both numbers, errors in common."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from margin.stats.association import Association, associate
from margin.stats.attenuation import Measured
from margin.stats.clusters import make_clusters

AGAIN = 60


@dataclass(frozen=True)
class Population:
    """Normal numbers of checkpoints: `trainings` times `each`, half of the variance between trainings."""

    trainings: int
    each: int
    correlation: float
    """Pearson's, of what is behind the two numbers; between trainings and within them."""
    reliable: tuple[float, float] = (0.8, 0.9)
    common: float = 0.0
    """Correlation of the two errors, as numbers of the same prompts have it."""
    alike: float = 0.5

    @property
    def spearman(self) -> float:
        """Of what is behind the numbers."""
        return float(6 / np.pi * np.arcsin(self.correlation / 2))

    @property
    def seen(self) -> float:
        """Pearson's of what is seen."""
        errors = np.prod([np.sqrt(1 / share - 1) for share in self.reliable]) * self.common
        return float((self.correlation + errors) * np.sqrt(np.prod(self.reliable)))

    @property
    def spearman_seen(self) -> float:
        return float(6 / np.pi * np.arcsin(self.seen / 2))

    @property
    def kendall_seen(self) -> float:
        return float(2 / np.pi * np.arcsin(self.seen))

    def draw(self, rng: np.random.Generator, level: float = 0.95) -> Association:
        """What is found of checkpoints drawn from it, with steps that have to do with nothing."""
        n = self.trainings * self.each
        spread = np.array([np.sqrt(1 / share - 1) for share in self.reliable])
        true = _correlated(self.correlation)
        errors = _correlated(self.common) * spread[:, None]
        between = np.repeat(rng.normal(size=(self.trainings, 2)) @ true.T, self.each, axis=0)
        within = rng.normal(size=(n, 2)) @ true.T
        values = np.sqrt(self.alike) * between + np.sqrt(1 - self.alike) * within
        values = values + rng.normal(size=(n, 2)) @ errors.T
        again = values + rng.normal(size=(AGAIN, n, 2)) @ errors.T
        x, y = (Measured(values[:, i], again[..., i]) for i in range(2))
        over = make_clusters(np.repeat(np.arange(self.trainings), self.each))
        return associate(x, y, over, level, step=rng.normal(size=n))


def _correlated(correlation: float) -> NDArray[np.float64]:
    return np.linalg.cholesky(np.array([[1, correlation], [correlation, 1]]))
