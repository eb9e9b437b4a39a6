"""Which rows go through the model together. Pure functions of the rows' token ids.

Rows of one condition begin with the same tokens (the template's head and the mode's token); those are run
once, and each row only from where it differs. Rows are sorted by length inside their condition, so that
little is padded, and cut into shards of fixed rows, the unit of resuming: shards depend on neither the token
budget nor the device.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

Ids = Sequence[int]


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
    shard_rows: int = 512,
    reuse_prefix: bool = True,
    pad: bool = True,
) -> Plan:
    """Plan the forward passes of all rows.

    `budget` bounds the tokens a batch holds in memory, prefix and padding included (a row longer than that
    goes alone). Without `pad` only rows of one length share a batch.
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
            for rows in _cut(shard, ids, groups, budget, pad)
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


def _cut(
    rows: Sequence[int], ids: Sequence[Ids], groups: Sequence[str], budget: int, pad: bool
) -> Iterator[list[int]]:
    """Cut rows, longest first within each condition, wherever the next one no longer fits."""
    batch: list[int] = []
    for row in rows:
        if batch:
            first = batch[0]
            fits = (len(batch) + 1) * len(ids[first]) <= budget
            alike = groups[row] == groups[first] and (pad or len(ids[row]) == len(ids[first]))
            if not (fits and alike):
                yield batch
                batch = []
        batch.append(row)
    if batch:
        yield batch
