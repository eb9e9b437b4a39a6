"""Paired data to try measures of separation on."""

from __future__ import annotations

from typing import Any

import numpy as np

from margin.stats.design import Design, make_design

Array = np.ndarray[Any, Any]


def design_of(n: int, k: int) -> Design:
    """Every prompt under every mode, prompt by prompt."""
    return make_design([f"m{c}" for c in range(k)] * n, np.repeat([f"p{i:04d}" for i in range(n)], k))


def paired(rng: np.random.Generator, n: int, k: int = 3, d: int = 6, strength: float = 0.5) -> Array:
    """(n k, d) points, prompt by prompt: topics, heavy-tailed prompts, modes with a gain by prompt."""
    fixed = np.random.default_rng(99)
    topics, modes = fixed.standard_normal((4, d)), fixed.standard_normal((k, d))
    of_prompt = topics[rng.integers(4, size=n)] + rng.standard_t(4, size=(n, d))
    gain = rng.gamma(4, 0.25, n)[:, None, None]
    noise = 0.7 * rng.standard_t(5, size=(n, k, d))
    return (3 + of_prompt[:, None] + strength * gain * modes + noise).reshape(-1, d)


def by_prompt(X: Array, design: Design) -> Array:
    """(n, k, d) from points in the order of `design_of`."""
    return X.reshape(design.n_prompts, design.n_modes, -1)
