"""Generators by name, so that no number drawn depends on the order or the presence of another."""

from __future__ import annotations

import numpy as np


def generator(seed: int, *name: str) -> np.random.Generator:
    """The generator of what is drawn under a name, for a seed of at least 0.

    Example
    -------
    >>> generator(0, "null").random() == generator(0, "null").random()
    True
    >>> generator(0, "null").random() == generator(0, "folds").random()
    False
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=tuple("/".join(name).encode())))
