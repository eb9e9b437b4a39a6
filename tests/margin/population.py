"""A population of prompts under k modes, to draw runs from and to see what intervals cover.

Prompts have a topic, an effect of their own with heavy tails, and a gain: how far they take a mode up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from margin.stats.design import Design, make_design

Array = np.ndarray[Any, Any]
TOPICS = ("trade", "health", "law", "code")


@dataclass(frozen=True)
class Prompts:
    """n prompts as drawn."""

    topic: Array
    """(n,) index of the topic."""
    effect: Array
    """(n, d) what the prompt's points share."""
    gain: Array
    """(n,) degree to which the prompt takes a mode up; falls from topic to topic."""


@dataclass(frozen=True)
class Population:
    """Where the modes and topics lie."""

    centres: Array
    """(k, d) of the modes."""
    topics: Array
    """(topics, d)."""

    def prompts(self, n: int, rng: np.random.Generator) -> Prompts:
        """n new prompts."""
        topic = rng.integers(len(self.topics), size=n)
        effect = 0.5 * self.topics[topic] + 0.5 * rng.standard_t(5, size=(n, self.topics.shape[1]))
        return Prompts(topic, effect, rng.gamma(4, 0.25, n) * (1.2 - 0.2 * topic))

    def points(
        self, prompts: Prompts, separation: float, rng: np.random.Generator, noise: Array | None = None
    ) -> Array:
        """(n k, d) points of one run, prompt by prompt; `noise` of that shape, new unless given."""
        k, d = self.centres.shape
        shift = separation * prompts.gain[:, None, None] * self.centres
        clean = (prompts.effect[:, None] + shift).reshape(-1, d)
        return clean + 0.7 * (rng.standard_normal((len(prompts.gain) * k, d)) if noise is None else noise)

    def design(self, prompts: Prompts) -> Design:
        """The design of such points."""
        n, k = len(prompts.gain), len(self.centres)
        return make_design([f"m{c}" for c in range(k)] * n, [f"p{i}" for i in range(n) for _ in range(k)])


def population(seed: int = 1, k: int = 3, d: int = 8) -> Population:
    """A population with modes and topics in random directions."""
    rng = np.random.default_rng(seed)
    return Population(rng.standard_normal((k, d)) / 2, rng.standard_normal((len(TOPICS), d)))
