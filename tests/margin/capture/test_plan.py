"""Every row is run once, whatever the batches, and tokens that rows share are found, not assumed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from margin.capture.plan import BATCH_COST, BATCH_COST_ON_ACCELERATOR, Plan, make_plan, shared_prefix

ROWS = st.lists(
    st.tuples(st.lists(st.integers(0, 2), min_size=1, max_size=12), st.sampled_from("ab")),
    min_size=1,
    max_size=30,
)


def batches(plan: Plan) -> list[tuple[int, ...]]:
    return [batch.rows for shard in plan.batches for batch in shard]


@given(
    rows=ROWS,
    budget=st.integers(1, 60),
    shard_rows=st.integers(1, 9),
    reuse_prefix=st.booleans(),
    pad=st.booleans(),
)
def test_every_row_is_run_once_within_the_budget(
    rows: list[tuple[list[int], str]], budget: int, shard_rows: int, reuse_prefix: bool, pad: bool
) -> None:
    ids, groups = [row for row, _ in rows], [group for _, group in rows]
    plan = make_plan(ids, groups, budget=budget, shard_rows=shard_rows, reuse_prefix=reuse_prefix, pad=pad)

    assert sorted(row for batch in batches(plan) for row in batch) == list(range(len(rows)))
    for shard_batches, shard in zip(plan.batches, plan.rows, strict=True):
        assert tuple(row for batch in shard_batches for row in batch.rows) == shard
        assert len(shard) <= shard_rows
        for batch in shard_batches:
            lengths = [len(ids[row]) for row in batch.rows]
            assert len({groups[row] for row in batch.rows}) == 1
            assert len(lengths) == 1 or max(lengths) * len(lengths) <= budget
            assert pad or len(set(lengths)) == 1
            assert batch.prefix < min(lengths)
            prefix = list(plan.prefixes.get(batch.group, ()))
            assert len(prefix) == batch.prefix
            assert all(ids[row][: batch.prefix] == prefix for row in batch.rows)

    run = [
        max(len(ids[row]) for row in batch.rows) - batch.prefix
        for shard in plan.batches
        for batch in shard
        for _ in batch.rows
    ]
    once = sum(map(len, plan.prefixes.values()))
    assert plan.tokens == once + sum(
        len(ids[row]) - batch.prefix for shard in plan.batches for batch in shard for row in batch.rows
    )
    assert plan.padding_share == pytest.approx((once + sum(run) - plan.tokens) / (once + sum(run)))


@given(rows=ROWS, shard_rows=st.integers(1, 9))
def test_shards_do_not_depend_on_how_rows_are_batched(
    rows: list[tuple[list[int], str]], shard_rows: int
) -> None:
    """So that a run goes on under another budget, and on another machine."""
    ids, groups = [row for row, _ in rows], [group for _, group in rows]
    plans = [
        make_plan(ids, groups, budget=budget, shard_rows=shard_rows, reuse_prefix=reuse, pad=pad)
        for budget in (1, 50)
        for reuse in (False, True)
        for pad in (False, True)
    ]
    assert len({plan.rows for plan in plans}) == 1


@given(st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=8), min_size=1, max_size=6))
def test_shared_prefix_is_the_longest_that_leaves_each_row_a_token(rows: list[list[int]]) -> None:
    shared = [n for n in range(min(map(len, rows))) if all(row[:n] == rows[0][:n] for row in rows)]
    assert list(shared_prefix(rows)) == rows[0][: max(shared)]


@given(
    lengths=st.lists(st.integers(1, 90), min_size=1, max_size=9),
    budget=st.integers(1, 300),
    size=st.integers(0, 40),
    batch_cost=st.sampled_from([1, BATCH_COST, BATCH_COST_ON_ACCELERATOR]),
)
def test_batches_are_cut_where_the_fewest_tokens_are_run(
    lengths: list[int], budget: int, size: int, batch_cost: int
) -> None:
    """Against all ways to cut the rows."""
    lengths = sorted(lengths, reverse=True)
    ids = [[7] * size + [row] * length for row, length in enumerate(lengths)]

    def cost(cuts: Sequence[Sequence[int]]) -> int:
        return sum(batch_cost + len(rows) * lengths[rows[0]] for rows in cuts)

    def fits(cuts: Sequence[Sequence[int]]) -> bool:
        return all(len(rows) == 1 or len(rows) * (size + lengths[rows[0]]) <= budget for rows in cuts)

    rows = range(len(lengths))
    ways = [
        [rows[start:stop] for start, stop in pairwise([0, *edges, len(rows)])]
        for n_edges in rows
        for edges in combinations(rows[1:], n_edges)
    ]
    plan = make_plan(ids, ["a"] * len(ids), budget=budget, batch_cost=batch_cost)
    size = 0 if len(ids) == 1 else size
    assert cost(batches(plan)) == min(cost(cuts) for cuts in ways if fits(cuts))


def test_rows_of_like_length_share_a_batch() -> None:
    """Without sorting, these would be padded by 41%."""
    ids = [[1, 2, *range(10, 10 + length)] for length in [8, 40] * 16]
    plan = make_plan(ids, ["a"] * 32, budget=42 * 8, reuse_prefix=False)
    assert plan.padding_share == 0
