"""Synthetic paired data with a prompt effect, topics and a gain per prompt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

Points = tuple[np.ndarray[Any, Any], list[str], list[str]]


@pytest.fixture
def points() -> Callable[..., Points]:
    """Maker of (X, modes, prompts): n prompts, each under every mode, prompt-major."""

    def make(
        n: int = 40,
        d: int = 20,
        effect: float = 1.0,
        seed: int = 0,
        modes: tuple[str, ...] = ("pos", "neg", "rej"),
    ) -> Points:
        rng = np.random.default_rng(seed)
        k = len(modes)
        centres = effect * rng.normal(size=(k, d))
        prompt = rng.standard_t(5, size=(n, d))
        gain = np.exp(rng.normal(0, 0.4, size=(n, 1, 1)))
        X = prompt[:, None] + gain * centres + 0.3 * rng.normal(size=(n, k, d))
        return X.reshape(n * k, d), list(modes) * n, [f"p{i:03d}" for i in range(n) for _ in modes]

    return make
