"""Releases of one model, measured on the same prompts: what a gate is to tell apart, with the truth known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from margin.analysis.space import Coordinates
from margin.gate.evidence import Leak, Measurement
from margin.gate.measurement import measure_margins
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
class Hang:
    """How prompts hang together, and how heavy the tails are of what is drawn for them."""

    each: int = 1
    """Prompts in a cluster."""
    rho: float = 0.0
    """Correlation within a cluster of all that is drawn."""
    tails: float = 5
    """Degrees of freedom of Student's t."""

    def clusters(self, n: int) -> NDArray[np.intp]:
        """(n,) cluster of each prompt."""
        return np.arange(n) // self.each

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Values by prompt (first axis), of mean 0, with the spread of t with 5 degrees."""
        scale = np.sqrt(5 / 3 / (self.tails / (self.tails - 2)))
        values = scale * rng.standard_t(self.tails, shape)
        return self.mixed(values, lambda of: scale * rng.standard_t(self.tails, of))

    def mixed(
        self,
        own: NDArray[np.float64],
        draw: Callable[[tuple[int, ...]], NDArray[np.float64]],
        mean: float = 0.0,
    ) -> NDArray[np.float64]:
        """A prompt's own values, correlated with those of its cluster; as they are where it stands alone."""
        if self.each == 1:
            return own
        code = self.clusters(len(own))
        shared = draw((code[-1] + 1, *own.shape[1:]))[code]
        found: NDArray[np.float64] = (
            mean + np.sqrt(1 - self.rho) * (own - mean) + np.sqrt(self.rho) * (shared - mean)
        )
        return found


@dataclass(frozen=True)
class Prompts:
    """Prompts of a population: heavy-tailed, each taking the modes up to a degree of its own."""

    base: NDArray[np.float64]
    """(n, k, d) what every release makes of them."""
    effect: NDArray[np.float64]
    """(n, k, d) what a mode adds at strength 1."""
    slices: pd.DataFrame
    """Column language, by prompt id."""
    hang: Hang = Hang()
    """How prompts hang together, and how heavy tails are."""

    @property
    def design(self) -> Design:
        """Each prompt under each mode, in clusters where there are some."""
        ids = np.repeat(self.slices.index, len(MODES))
        clusters = None if self.hang.each == 1 else np.repeat(self.hang.clusters(len(self.base)), len(MODES))
        return make_design(np.tile(MODES, len(self.base)), ids, clusters)

    def points(self, strength: float, rng: np.random.Generator, own: float = 0.3) -> NDArray[np.float64]:
        """(n k, d) states of a release: its modes at `strength`, and noise that is its own."""
        noise = own * self.hang.draw(rng, self.base.shape)
        return (self.base + strength * self.effect + noise).reshape(-1, self.base.shape[-1])


def draw_prompts(n: int, rng: np.random.Generator, d: int = 8, hang: Hang = Hang()) -> Prompts:
    """n prompts."""
    axes = 1.5 * np.linalg.qr(np.random.default_rng(0).standard_normal((d, d)))[0][: len(MODES)]
    shared = 0.8 * hang.draw(rng, (n, 1, d))
    gain = hang.mixed(rng.gamma(6, 1 / 6, (n, 1, 1)), lambda shape: rng.gamma(6, 1 / 6, shape), mean=1)
    ids = pd.Index([f"p{i}" for i in range(n)], name="id")
    return Prompts(
        base=shared + 0.5 * hang.draw(rng, (n, len(MODES), d)),
        effect=gain * axes,
        slices=pd.DataFrame({"language": np.where(np.arange(n) % 2, "zh", "en")}, index=ids),
        hang=hang,
    )


def measurement(
    prompts: Prompts,
    points: NDArray[np.float64],
    sliced: bool = True,
    leaks: tuple[Leak, ...] = (),
    identity: dict[str, object] | None = None,
    clustered: bool = True,
) -> Measurement:
    """The measurement of a release; `identity` overrides entries of its identity. `clustered` is whether it
    minds that prompts come in clusters, where they do.
    """
    slices = prompts.slices if sliced else prompts.slices[[]]
    design = prompts.design if clustered else replace(prompts.design, clusters=None)
    return Measurement(
        space="logits",
        distance="cosine",
        prompt_ids=design.prompt_ids,
        margins=measure_margins(Coordinates(points), design, slices),
        leaks=leaks,
        noise_floor=None,
        provenance={"identity": {**IDENTITY, **(identity or {})}, "environment": {}},
        cluster=None if design.clusters is None else "template",
        clusters=design.clusters,
    )
