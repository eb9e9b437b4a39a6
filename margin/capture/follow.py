"""The rows of a run again, with their states changed: arrays in, arrays out, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from margin.capture.budget import Budget, within_memory
from margin.capture.plan import Batch
from margin.capture.tracer import TokenRows, Tracer

T = TypeVar("T")

ROWS = 256
"""Rows whose distributions are held at once."""

Float32 = NDArray[np.float32]
Layers = list[dict[int, Float32]]
"""(B, d) the last position's states by layer, of each token."""
Make = Callable[[int, tuple[int, ...], Layers], Mapping[int, Float32]]
"""The changed states (B, c, d) by layer: of the rows under a token (its place), for some prompts."""


@dataclass(frozen=True, eq=False)
class Followed:
    """What became of the rows of some prompts under one token."""

    token: int
    prompts: tuple[int, ...]
    states: dict[int, Float32]
    """(B, c, d) final states by layer, in the order of the changes."""
    unchanged: Float32
    """(k, B, d) final states of these prompts under every token, as they are."""
    layers: Layers
    """Their states by layer."""


def follow(
    tracer: Tracer, rows: TokenRows, prompts: Sequence[int], batch_tokens: int, make: Make
) -> Iterator[Followed]:
    """Change the last position's state of some prompts' rows, and follow it up to the final state."""
    for group in in_memory(
        tracer, rows, prompts, batch_tokens, lambda some: _follow(tracer, rows, some, make)
    ):
        yield from group


def cut_rows(
    tracer: Tracer, rows: TokenRows, prompts: Sequence[int], batch_tokens: int, layers: Sequence[int]
) -> Iterator[tuple[int, tuple[int, ...], Float32]]:
    """Token, prompts and final states (B, layers, d) of rows whose attention to the token is cut."""

    def cut(some: tuple[int, ...]) -> list[tuple[int, tuple[int, ...], Float32]]:
        return [(token, some, tracer.cut(some, token, layers).cpu().numpy()) for token in range(rows.k)]

    for group in in_memory(tracer, rows, prompts, batch_tokens, cut):
        yield from group


def in_memory(
    tracer: Tracer,
    rows: TokenRows,
    prompts: Sequence[int],
    batch_tokens: int,
    run: Callable[[tuple[int, ...]], T],
) -> Iterator[T]:
    """What a function gives of batches of prompts; where memory runs out batches are halved."""
    longest = [max(len(ids) for ids in rows.ids[i * rows.k : (i + 1) * rows.k]) for i in range(rows.n)]
    lengths = [range(length) for length in longest]  # of rows; what stands in them does not matter
    wanted = set(prompts)
    batches = [
        Batch(tuple(prompt for prompt in batch if prompt in wanted), "", 0)
        for batch in tracer.batches(batch_tokens)
    ]
    there = [batch for batch in batches if batch.rows]
    done = within_memory(lambda batch: run(batch.rows), there, lengths, Budget(batch_tokens))
    for _, found in done:
        yield found


def _follow(tracer: Tracer, rows: TokenRows, prompts: tuple[int, ...], make: Make) -> list[Followed]:
    passes = [tracer.run(prompts, token) for token in range(rows.k)]
    layers = [{layer: _numpy(states) for layer, states in one.layers.items()} for one in passes]
    unchanged = np.stack([_numpy(one.states) for one in passes])
    found = []
    for token, one in enumerate(passes):
        changes = {layer: its for layer, its in make(token, prompts, layers).items() if its.shape[1]}
        states: dict[int, Float32] = {}
        if changes:
            device = one.states.device
            after = tracer.patched(
                one, {layer: torch.from_numpy(its).to(device) for layer, its in changes.items()}
            )
            order = sorted(changes)
            parts = torch.split(after, [changes[layer].shape[1] for layer in order], dim=1)
            states = {layer: _numpy(part) for layer, part in zip(order, parts, strict=True)}
        found.append(Followed(token, prompts, states, unchanged, layers))
    return found


def divergence(head: Callable[[torch.Tensor], torch.Tensor], states: Float32, before: Float32) -> Float32:
    """(m,) Kullback-Leibler divergence, in nats, of the next token's distribution from what it was.

    `states` (m, d) and `before` (m, d) are final states; `head` makes logits of them.
    """
    found = []
    for start in range(0, len(states), ROWS):
        after, was = (
            head(torch.from_numpy(its[start : start + ROWS])).log_softmax(dim=1) for its in (states, before)
        )
        found.append((was.exp() * (was - after)).sum(dim=1).clamp_min(0).cpu().numpy())
    return np.concatenate(found)


def _numpy(states: torch.Tensor) -> Float32:
    found: Float32 = states.float().cpu().numpy()
    return found
