"""Where the rows of a run lie that were patched, cut or steered: arrays by prompt, filled batch by batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from margin.analysis.trace import Float, Landmarks, margin_of, transfer

Pair = tuple[int, int]
"""Recipient and donor, by their places among the modes."""


@dataclass(frozen=True, eq=False)
class Patched:
    """Where n prompts' rows lie that were patched: in P pairs at L layers."""

    layers: tuple[int, ...]
    pairs: tuple[Pair, ...]
    landed: Float
    """(n, P, L) 1 where a row lands in the donor's mode, else 0."""
    transfer: Float
    """(n, P, L); NaN where donor and recipient have the same logits."""
    effect: Float
    """(n, P, L) how far the logits went towards the donor's, as a length."""
    distance: Float
    """(n, P) how far the donor's logits are from the recipient's."""

    @classmethod
    def empty(cls, n: int, pairs: Sequence[Pair], layers: Sequence[int]) -> Patched:
        """Room for n prompts."""
        shape = (n, len(pairs), len(layers))
        room = [np.full(shape, np.nan) for _ in range(3)]
        return cls(tuple(layers), tuple(pairs), room[0], room[1], room[2], np.full(shape[:2], np.nan))

    def put(
        self,
        marks: Landmarks,
        prompts: NDArray[np.intp],
        pair: int,
        points: Float,
        before: Float,
        after: Float,
    ) -> None:
        """Enter the patched points (B, L, D) of some prompts (B,) in a pair, whose recipient's and donor's
        own points are `before` and `after` (B, D)."""
        B, L, D = points.shape
        X = points.reshape(-1, D)
        nearest = marks.distances(X, np.repeat(prompts, L)).argmin(axis=1)
        start, end = (np.repeat(its, L, axis=0) for its in (before, after))
        carried = transfer(X, start, end).reshape(B, L)
        length = np.linalg.norm(after - before, axis=1)
        self.landed[prompts, pair] = (nearest == self.pairs[pair][1]).reshape(B, L)
        self.transfer[prompts, pair] = carried
        self.effect[prompts, pair] = np.nan_to_num(carried) * length[:, None]
        self.distance[prompts, pair] = length

    def part(self, prompts: Sequence[int]) -> Patched:
        """The same of some of the prompts."""
        some = np.asarray(prompts, dtype=np.intp)
        return Patched(
            self.layers,
            self.pairs,
            self.landed[some],
            self.transfer[some],
            self.effect[some],
            self.distance[some],
        )


@dataclass(frozen=True, eq=False)
class Controlled:
    """Where some prompts' rows lie that were patched with what must not change the mode."""

    prompts: tuple[int, ...]
    moved: dict[str, Float]
    """By control: (m, k, L) 1 where a row lands in another mode than its own."""
    unchanged: float
    """Largest relative difference of a final state where a state was replaced by itself."""


@dataclass(frozen=True, eq=False)
class Cutting:
    """Where rows lie whose attention was cut."""

    kept: Float
    """(n, k, L) 1 where a row lands in its own mode."""
    margin: Float
    """(n, k, L) how much nearer its own mode is than the nearest other."""


@dataclass(frozen=True, eq=False)
class Steered:
    """Where rows lie that were steered in one way."""

    layer: int
    pair: Pair
    dose: float
    control: str
    landed: Float
    """(n,) 1 where a row lands in the mode it is steered to; NaN where a prompt was not steered so."""
    kept: Float
    """(n,) 1 where it lands in its own."""
    margin: Float
    """(n,) how much nearer the mode it is steered to is than the nearest other."""
    divergence: Float | None
    """(n,) of the next token's distribution, in nats."""

    @classmethod
    def empty(cls, n: int, layer: int, pair: Pair, dose: float, control: str, with_tokens: bool) -> Steered:
        """Room for n prompts."""
        room = [np.full(n, np.nan) for _ in range(4)]
        told = room[3] if with_tokens else None
        return cls(layer, pair, dose, control, room[0], room[1], room[2], told)

    def put(self, marks: Landmarks, prompts: NDArray[np.intp], points: Float) -> None:
        """Enter the steered points (B, D) of some prompts (B,)."""
        distances = marks.distances(points, prompts)
        nearest = distances.argmin(axis=1)
        self.landed[prompts] = nearest == self.pair[1]
        self.kept[prompts] = nearest == self.pair[0]
        self.margin[prompts] = margin_of(distances, np.full(len(points), self.pair[1], dtype=np.intp))


@dataclass(frozen=True, eq=False)
class Measured:
    """All that was measured of a run."""

    marks: Landmarks
    space: str
    layers: tuple[int, ...]
    patched: Patched
    controlled: Controlled
    decoy_prompts: tuple[int, ...] = ()
    decoys: tuple[Patched, ...] = ()
    """Patches of each decoy set, on those prompts."""
    cutting: Cutting | None = None
    steered: tuple[Steered, ...] = ()
    answers: Mapping[tuple[int, Pair, float], Float] = field(default_factory=dict)
    """(n,) 1 where an answer was found to refuse, by layer, pair and dose."""
