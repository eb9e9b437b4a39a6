"""Paired rows to try probes on."""

from __future__ import annotations

from typing import Any

import numpy as np

from margin.probes import make_rows
from margin.stats.design import Design

Array = np.ndarray[Any, Any]
MODES = ("neg", "pos", "rej")


def labels(n: int, k: int = 3) -> tuple[list[str], Array]:
    """Modes and prompts of every prompt under every mode, prompt by prompt."""
    return [*MODES[:k]] * n, np.repeat([f"p{i:04d}" for i in range(n)], k)


def rows_of(n: int, k: int = 3) -> Design:
    return make_rows(*labels(n, k))


def paired(rng: np.random.Generator, n: int, k: int = 3, d: int = 16, strength: float = 0.5) -> Array:
    """(n k, d) float32 rows, prompt by prompt: topics, heavy-tailed prompts, modes with a gain by prompt."""
    fixed = np.random.default_rng(99)
    topics, modes = fixed.standard_normal((4, d)), fixed.standard_normal((k, d)) * np.sqrt(6 / d)
    of_prompt = topics[rng.integers(4, size=n)] + rng.standard_t(4, size=(n, d))
    gain = rng.gamma(4, 0.25, n)[:, None, None]
    noise = 0.7 * rng.standard_t(5, size=(n, k, d))
    X: Array = (3 + of_prompt[:, None] + strength * gain * modes + noise).reshape(-1, d).astype(np.float32)
    return X
