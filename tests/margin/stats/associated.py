"""Checkpoints with a planted correlation: trainings, measurement error in both numbers, errors in common."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

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


@dataclass(frozen=True)
class Ceiling:
    """A margin with a small error, and a share of 48 prompts that is 1 in many checkpoints: ties, and an
    error that is 0 there. Trainings are of 2 to 10 checkpoints."""

    trainings: int
    correlation: float
    prompts: int = 48

    def numbers(
        self, rng: np.random.Generator, trainings: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
        """Margin, chance of success and share seen of each checkpoint, and its training."""
        sizes = rng.integers(2, 11, size=trainings)
        code = np.repeat(np.arange(trainings), sizes)
        true = _correlated(self.correlation)
        between = (rng.normal(size=(trainings, 2)) @ true.T)[code]
        latent = np.sqrt(0.5) * (between + rng.normal(size=(len(code), 2)) @ true.T)
        chance = stats.norm.cdf(1.5 + 1.5 * latent[:, 1])
        return latent[:, 0], chance, rng.binomial(self.prompts, chance) / self.prompts, code

    def truths(self) -> tuple[float, float]:
        """Spearman's of what is seen, and of margin and chance."""
        margin, chance, share, _ = self.numbers(np.random.default_rng(99), 4000)
        seen = margin + 0.3 * np.random.default_rng(98).normal(size=len(margin))
        return (
            float(stats.spearmanr(seen, share).statistic),
            float(stats.spearmanr(margin, chance).statistic),
        )

    def draw(self, rng: np.random.Generator) -> Association:
        """What is found of checkpoints drawn from it."""
        margin, _, share, code = self.numbers(rng, self.trainings)
        seen = margin + 0.3 * rng.normal(size=len(margin))
        error = np.sqrt(share * (1 - share) / (self.prompts - 1))
        again = rng.normal(size=(2, AGAIN, len(code)))
        return associate(
            Measured(seen, seen + 0.3 * again[0]),
            Measured(share, share + error * again[1]),
            make_clusters(code),
        )
