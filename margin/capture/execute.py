"""Executing: the shards a run lacks, in batches that are verified before, and after by rows run again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from margin.capture.budget import Budget
from margin.capture.budget_search import SMALLEST, find_budget
from margin.capture.finish import Collected, finish
from margin.capture.hooks import HiddenStateHooks, hidden_state_hooks
from margin.capture.last_block import last_block_hook
from margin.capture.loop import Captured, Forward, capture
from margin.capture.placement import input_device
from margin.capture.plan import BATCH_COST, BATCH_COST_ON_ACCELERATOR, Plan, make_plan
from margin.capture.prepare import Job
from margin.capture.progress import progress
from margin.capture.repeats import repeat, rows_to_repeat
from margin.capture.responses import Responses
from margin.capture.resume import batching_so_far, begin, discard, require_all_shards
from margin.capture.rounding import tolerance
from margin.capture.unbatched import one_by_one
from margin.capture.verification import verify_batching
from margin.capture.writer import Writer
from margin.errors import MarginError
from margin.run.records import Batching, HeadRecord, Throughput
from margin.run.run import Run, open_run
from margin.run.shards import shard_path, write_shard


def execute(job: Job) -> Run:
    """Collect what the folder lacks: shards, then the head pass, then the manifest that calls the run whole.

    Each rank runs its share of the shards; all else is read and written by rank 0, and the others wait.

    Rows that are repeated must come out as they did: where they do not, all rows are collected again, each
    by a plain forward pass of its own. MarginError where they do not then either, and where response
    positions are asked for of a model that looks ahead.
    """
    model, ranks, folder = job.checkpoint.model, job.ranks, job.folder
    name, limit = type(model).__name__, tolerance(model.dtype)
    with hidden_state_hooks(model, job.manifest.layers) as hooks, last_block_hook(model, hooks):
        batching, head = verify_batching(model, hooks, job.ids, job.groups)
        batching = ranks.from_first(lambda: batching_so_far(folder)) or batching
        job = job.recorded(
            counts=job.manifest.counts.replace(width=head.weight.shape[1], vocabulary=head.vocabulary),
            head=HeadRecord(scale=head.scale, softcap=head.softcap),
        )
        while True:
            collected = _collect_rows(job, hooks, batching)
            if collected is None:
                return open_run(folder)
            moved = ranks.from_first(partial(_deviation, collected))
            if moved <= limit:
                break
            if batching == one_by_one(batching.pad_reason):
                raise MarginError(
                    f"{name} gives the same row other states each time ({moved:.1e} apart, where rounding "
                    f"explains {limit:.1e}): there is nothing to measure"
                )
            batching = one_by_one(f"batches move the states by {moved:.1e}")
            ranks.from_first(partial(discard, folder, batching))
    return Run(folder, ranks.from_first(partial(finish, collected, head, limit)))


def _collect_rows(job: Job, hooks: HiddenStateHooks, batching: Batching) -> Collected | None:
    """Run all rows that are missing, and some again; None where the run is whole already."""
    options, ranks, model = job.options, job.ranks, job.checkpoint.model
    if options.positions > 1 and not batching.pad:
        raise MarginError(
            f"{type(model).__name__} looks ahead of a position ({batching.pad_reason}), so a pass over a "
            "whole answer does not give its positions: collect without --positions"
        )
    hooks.last_block_at_positions = batching.narrow
    plan_within = partial(
        make_plan,
        job.ids,
        job.groups,
        shard_rows=options.shard_rows,
        reuse_prefix=batching.reuse_prefix,
        pad=batching.pad,
        extra_tokens=options.positions - 1,
        batch_cost=BATCH_COST if input_device(model).type == "cpu" else BATCH_COST_ON_ACCELERATOR,
    )
    tokens = options.batch_tokens if batching.together else 1
    plan = plan_within(budget=SMALLEST if tokens == "auto" else tokens)
    job = job.recorded(counts=job.manifest.counts.replace(shards=len(plan.rows)), batching=batching)
    repeated = rows_to_repeat(job.rows, options.noise_prompts, options.seed)
    missing = ranks.from_first(partial(begin, job, plan, len(repeated)))
    if missing is None:
        return None
    forward = Forward(model, hooks, job.ids, plan.prefixes, options.positions)
    if tokens == "auto":
        budget = find_budget(forward, plan.batches[0])
        plan = plan_within(budget=budget.tokens)
    else:
        budget = Budget(tokens, fixed=ranks.split)
    throughput = _write_shards(job, forward, plan, budget, missing, batching)
    repeats = None
    if repeated and (ranks.first or ranks.split):
        again = Forward(model, hooks, job.ids, plan.prefixes)
        repeats = repeat(again, repeated, budget, options.seed, pad=batching.pad, together=batching.together)
    return Collected(job, plan, budget, throughput, repeats)


def _deviation(collected: Collected) -> float:
    """How far rows that were repeated came out from what the shards hold of them; 0 where none were."""
    if collected.repeats is None:
        return 0.0
    job = collected.job
    require_all_shards(job.folder, collected.plan)
    return collected.repeats.moved(Run(job.folder, job.manifest).states())


def _write_shards(
    job: Job, forward: Forward, plan: Plan, budget: Budget, missing: Sequence[int], batching: Batching
) -> Throughput:
    """Run and write this rank's share of the missing shards, and wait for the others'.

    Progress is shown of rank 0's share, which is like the others'.
    """
    options, ranks = job.options, job.ranks
    responses = Responses(job.checkpoint, job.inputs.modes, options.generate, batching)
    n_rows = sum(len(plan.rows[index]) for index in missing)
    own = ranks.share(missing)
    done = job.manifest.counts.rows - n_rows if ranks.count == 1 else 0
    total = done + sum(len(plan.rows[index]) for index in own)
    started = time.perf_counter()
    with progress(total, done, options.quiet or not ranks.first) as advance, Writer() as writer:
        for index in own:
            keeps = ranks.first or not ranks.split
            part = (job.folder, index) if keeps else None
            captured = capture(
                forward,
                responses.prepare(forward, plan.batches[index], budget, part),
                budget,
                options,
                advance,
            )
            if keeps:
                writer.submit(partial(_write, shard_path(job.folder, index), captured))
    ranks.wait()
    seconds = time.perf_counter() - started - responses.seconds
    return Throughput(
        rows=n_rows,
        ranks=ranks.count,
        seconds=seconds,
        rows_per_s=n_rows / seconds,
        tokens=plan.tokens,
        padding_share=plan.padding_share,
    )


def _write(path: Path, captured: Captured) -> None:
    write_shard(path, captured.arrays())
