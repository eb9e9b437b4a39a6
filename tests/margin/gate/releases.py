"""Releases of one model, measured on the same prompts: what a gate is to tell apart, with the truth known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from margin.analysis.space import Coordinates
from margin.gate.measurement import Leak, Measurement, measure_margins
from margin.stats.design import Design, make_design

MODES = ("pos", "neg", "rej")
IDENTITY = {
    "model": "org/model",
    "weights": "0" * 64,
    "dtype": "float32",
    "attention": "sdpa",
    "tokenizer": "1" * 64,
    "chat_template": "2" * 64,
    "chat_kwargs": {"enable_thinking": False},
    "response_prefix": "",
    "tail": "<assistant>",
    "placement": "system",
    "system": "{token}",
    "modes": [{"name": name, "safe": name != "neg", "fingerprint": "abcd"} for name in MODES],
    "prompts": "3" * 64,
    "layers": [4],
}


@dataclass(frozen=True)
class Prompts:
    """Prompts of a population: heavy-tailed, each taking the modes up to a degree of its own."""

    base: NDArray[np.float64]
    """(n, k, d) what every release makes of them."""
    effect: NDArray[np.float64]
    """(n, k, d) what a mode adds at strength 1."""
    slices: pd.DataFrame
    """Column language, by prompt id."""

    @property
    def design(self) -> Design:
        """Each prompt under each mode."""
        return make_design(np.tile(MODES, len(self.base)), np.repeat(self.slices.index, len(MODES)))

    def points(self, strength: float, rng: np.random.Generator, own: float = 0.3) -> NDArray[np.float64]:
        """(n k, d) states of a release: its modes at `strength`, and noise that is its own."""
        noise = own * rng.standard_t(5, self.base.shape)
        return (self.base + strength * self.effect + noise).reshape(-1, self.base.shape[-1])


def draw_prompts(n: int, rng: np.random.Generator, d: int = 8) -> Prompts:
    """n prompts."""
    axes = 1.5 * np.linalg.qr(np.random.default_rng(0).standard_normal((d, d)))[0][: len(MODES)]
    shared = 0.8 * rng.standard_t(5, (n, 1, d))
    gain = rng.gamma(6, 1 / 6, (n, 1, 1))
    ids = pd.Index([f"p{i}" for i in range(n)], name="id")
    return Prompts(
        base=shared + 0.5 * rng.standard_t(5, (n, len(MODES), d)),
        effect=gain * axes,
        slices=pd.DataFrame({"language": np.where(np.arange(n) % 2, "zh", "en")}, index=ids),
    )


def measurement(
    prompts: Prompts,
    points: NDArray[np.float64],
    sliced: bool = True,
    leaks: tuple[Leak, ...] = (),
    identity: dict[str, object] | None = None,
) -> Measurement:
    """The measurement of a release; `identity` overrides entries of its identity."""
    slices = prompts.slices if sliced else prompts.slices[[]]
    return Measurement(
        space="logits",
        distance="cosine",
        prompt_ids=prompts.design.prompt_ids,
        margins=measure_margins(Coordinates(points), prompts.design, slices),
        leaks=leaks,
        noise_floor=None,
        provenance={"identity": {**IDENTITY, **(identity or {})}, "environment": {}},
    )
