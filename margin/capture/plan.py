"""Which rows go through the model together. Pure functions of the rows' token ids.

Rows of one condition begin with the same tokens (the template's head and the mode's token); those are run
once, and each row only from where it differs. Rows are sorted by length inside their condition, and cut into
shards of fixed rows, the unit of resuming: shards depend on neither the token budget nor the device. Inside a
shard batches are cut where the fewest tokens go through the model, padding included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

import numpy as np
from numpy.typing import NDArray

Ids = Sequence[int]

BATCH_COST = 64
"""Tokens that take about as long as a batch does by itself, whatever it holds; on a CPU."""
BATCH_COST_ON_ACCELERATOR = 256
"""The same where reading the weights is what a small batch waits for: arithmetic in 16 bits catches up at
operations/s over bytes/s, some 300 tokens on an H100. By its data sheet, not measured."""


@dataclass(frozen=True)
class Batch:
    """Rows that go through the model together, after the first `prefix` tokens, which they share."""

    rows: tuple[int, ...]
    """Places of the rows in the run."""
    group: str
    """The condition all of them belong to."""
    prefix: int
    """Leading tokens that are taken from the condition's cache; 0 without prefix reuse."""


@dataclass(frozen=True)
class Plan:
    """Shards of rows, and how the rows of each are batched."""

    rows: tuple[tuple[int, ...], ...]
    """Rows of each shard, in the order they are run."""
    batches: tuple[tuple[Batch, ...], ...]
    """Batches of each shard; together they hold its rows in the same order."""
    prefixes: dict[str, tuple[int, ...]]
    """The tokens each condition's rows share; empty without prefix reuse."""
    tokens: int
    """Tokens that go through the model: prefixes once, then each row's own."""
    padding_share: float
    """Padding as a share of all positions that go through the model, 0 to 1."""


def shards_of(ids: Sequence[Ids], groups: Sequence[str], size: int) -> list[list[int]]:
    """Rows by condition (in order of appearance) and length (longest first), cut into shards of `size`."""
    rank = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    order = sorted(range(len(ids)), key=lambda row: (rank[groups[row]], -len(ids[row]), row))
    return [order[start : start + size] for start in range(0, len(order), size)]


def shared_prefix(ids: Sequence[Ids]) -> tuple[int, ...]:
    """The longest run of tokens all rows begin with that leaves each row at least one token of its own."""
    longest = min(map(len, ids)) - 1
    length = next((i for i in range(longest) if len({row[i] for row in ids}) > 1), longest)
    return tuple(ids[0][:length])


def make_plan(
    ids: Sequence[Ids],
    groups: Sequence[str],
    *,
    budget: int,
    shard_rows: int = 256,
    reuse_prefix: bool = True,
    pad: bool = True,
    extra_tokens: int = 0,
    batch_cost: int = BATCH_COST,
) -> Plan:
    """Plan the forward passes of all rows.

    `budget` bounds the tokens a batch holds in memory, prefix and padding included (a row longer than that
    goes alone), and `extra_tokens` for as many more tokens of each row. Without `pad` only rows of one length
    share a batch. `batch_cost` is what one more batch costs, in tokens.
    """
    prefixes: dict[str, tuple[int, ...]] = {}
    if reuse_prefix:
        members: dict[str, list[Ids]] = {}
        for row_ids, group in zip(ids, groups, strict=True):
            members.setdefault(group, []).append(row_ids)
        shared = {group: shared_prefix(rows) for group, rows in members.items() if len(rows) > 1}
        prefixes = {group: prefix for group, prefix in shared.items() if prefix}
    shards = shards_of(ids, groups, shard_rows)
    batches = [
        tuple(
            Batch(tuple(rows), groups[rows[0]], len(prefixes.get(groups[rows[0]], ())))
            for rows in _cut(shard, ids, groups, prefixes, budget, pad, extra_tokens, batch_cost)
        )
        for shard in shards
    ]
    flat = [batch for shard in batches for batch in shard]
    own = sum(len(ids[row]) - batch.prefix for batch in flat for row in batch.rows)
    padded = sum(len(batch.rows) * (len(ids[batch.rows[0]]) - batch.prefix) for batch in flat)
    once = sum(map(len, prefixes.values()))
    return Plan(
        rows=tuple(map(tuple, shards)),
        batches=tuple(batches),
        prefixes=prefixes,
        tokens=once + own,
        padding_share=(padded - own) / (once + padded),
    )


def recut(batches: Iterable[Batch], ids: Sequence[Ids], budget: int) -> list[Batch]:
    """The same rows in the same order, batches that exceed the budget cut into smaller ones."""
    out = []
    for batch in batches:
        size = max(1, budget // max(len(ids[row]) for row in batch.rows))
        out += [
            replace(batch, rows=batch.rows[start : start + size]) for start in range(0, len(batch.rows), size)
        ]
    return out


def of_one_length(batches: Iterable[Batch], length: Callable[[int], int]) -> list[Batch]:
    """The same rows in the same order, cut wherever their length changes."""
    return [
        replace(batch, rows=tuple(alike)) for batch in batches for _, alike in groupby(batch.rows, key=length)
    ]


def _cut(
    rows: Sequence[int],
    ids: Sequence[Ids],
    groups: Sequence[str],
    prefixes: Mapping[str, Ids],
    budget: int,
    pad: bool,
    extra_tokens: int,
    batch_cost: int,
) -> Iterator[list[int]]:
    """Cut rows, longest first within each condition, where that costs the fewest tokens."""
    for (group, _), its in groupby(rows, key=lambda row: (groups[row], pad or len(ids[row]))):
        alike = list(its)
        lengths = np.array([len(ids[row]) + extra_tokens for row in alike])
        edges = _cheapest_cuts(lengths, len(prefixes.get(group, ())), budget, batch_cost)
        yield from (alike[start:stop] for start, stop in pairwise(edges))


def _cheapest_cuts(lengths: NDArray[np.int64], prefix: int, budget: int, batch_cost: int) -> list[int]:
    """Where to cut rows of descending lengths so that padded tokens, and `batch_cost` a batch, are fewest.

    By dynamic programming over the end of the last batch: the edges of the batches, from 0 to the number of
    rows. Costs rows^2.
    """
    n_rows = len(lengths)
    cost, first = np.zeros(n_rows + 1), np.zeros(n_rows + 1, dtype=np.int64)
    for end in range(1, n_rows + 1):
        sizes = np.arange(end, 0, -1)  # of a last batch that begins at row 0, 1, ..., end - 1
        fits = (sizes * lengths[:end] <= budget) | (sizes == 1)
        total = cost[:end] + sizes * (lengths[:end] - prefix) + batch_cost
        first[end] = np.where(fits, total, np.inf).argmin()
        cost[end] = total[first[end]]
    edges = [n_rows]
    while edges[-1]:
        edges.append(int(first[edges[-1]]))
    return edges[::-1]
