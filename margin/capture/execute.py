"""Executing: the shards a run lacks, in batches that are verified before, and after by rows run again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from margin.capture.budget import Budget
from margin.capture.budget_search import SMALLEST, find_budget
from margin.capture.cost import Cost, Pace, cost_of, paced
from margin.capture.finish import Collected, finish
from margin.capture.head import Head
from margin.capture.hooks import HiddenStateHooks, hidden_state_hooks
from margin.capture.last_block import last_block_hook
from margin.capture.loop import Captured, Forward, capture
from margin.capture.placement import input_device
from margin.capture.plan import BATCH_COST, BATCH_COST_ON_ACCELERATOR, Plan, make_plan
from margin.capture.prepare import Job
from margin.capture.progress import progress
from margin.capture.repeats import repeat, rows_to_repeat
from margin.capture.responses import Responses
from margin.capture.resume import batching_so_far, begin, discard, missing_shards, require_all_shards
from margin.capture.rounding import tolerance
from margin.capture.unbatched import one_by_one
from margin.capture.verification import verify_batching
from margin.capture.writer import Writer
from margin.errors import MarginError
from margin.run.records import Batching, HeadRecord, Throughput
from margin.run.run import Run, open_run
from margin.run.shards import shard_path, write_shard
from margin.streams import say


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
        job, batching, head, pace = proved(job, hooks)
        batching = ranks.from_first(lambda: batching_so_far(folder)) or batching
        while True:
            collected = _collect_rows(job, hooks, batching, pace)
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


def estimate(job: Job) -> Cost:
    """What the rows that the folder lacks will cost. Runs the proofs, and writes nothing."""
    model = job.checkpoint.model
    with hidden_state_hooks(model, job.manifest.layers) as hooks, last_block_hook(model, hooks):
        job, batching, _, pace = proved(job, hooks)
    plan = _plan(job, batching)
    missing = missing_shards(job.folder, plan, job.options.generate > 0)
    return _cost(job, plan, missing, pace, 0 if job.moment is None else job.options.thought_tokens)


def proved(job: Job, hooks: HiddenStateHooks) -> tuple[Job, Batching, Head, Pace]:
    """How the rows may be batched, and how fast those went that proved it."""
    model = job.checkpoint.model
    with paced(model) as pace:
        batching, head = verify_batching(model, hooks, job.ids, job.groups)
    job = job.recorded(
        counts=job.manifest.counts.replace(width=head.weight.shape[1], vocabulary=head.vocabulary),
        head=HeadRecord(scale=head.scale, softcap=head.softcap),
    )
    return job, batching, head, pace


def _cost(job: Job, plan: Plan, missing: Sequence[int], pace: Pace, thought: int = 0) -> Cost:
    batches = [batch for index in missing for batch in plan.batches[index]]
    lengths = [len(ids) for ids in job.ids]
    return cost_of(job.manifest, job.options, batches, lengths, pace, job.ranks.count, thought)


def _plan(job: Job, batching: Batching, tokens: int | None = None) -> Plan:
    """Which rows go together, within so many tokens; as the options say where none are given."""
    options = job.options
    asked = options.batch_tokens if batching.together else 1
    return make_plan(
        job.ids,
        job.groups,
        budget=tokens or (SMALLEST if asked == "auto" else asked),
        shard_rows=options.shard_rows,
        reuse_prefix=batching.reuse_prefix,
        pad=batching.pad,
        extra_tokens=options.positions - 1,
        batch_cost=(
            BATCH_COST if input_device(job.checkpoint.model).type == "cpu" else BATCH_COST_ON_ACCELERATOR
        ),
    )


def _collect_rows(job: Job, hooks: HiddenStateHooks, batching: Batching, pace: Pace) -> Collected | None:
    """Run all rows that are missing, and some again; None where the run is whole already."""
    options, ranks, model = job.options, job.ranks, job.checkpoint.model
    if options.positions > 1 and not batching.pad:
        raise MarginError(
            f"{type(model).__name__} looks ahead of a position ({batching.pad_reason}), so a pass over a "
            "whole answer does not give its positions: collect without --positions"
        )
    hooks.last_block_at_positions = batching.narrow
    plan = _plan(job, batching)
    job = job.recorded(counts=job.manifest.counts.replace(shards=len(plan.rows)), batching=batching)
    repeated = rows_to_repeat(job.rows, options.noise_prompts, options.seed)
    missing = ranks.from_first(partial(begin, job, plan, len(repeated)))
    if missing is None:
        return None
    cost = _cost(job, plan, missing, pace)
    cost.require_room(job.folder)
    if missing and ranks.first and not options.quiet:
        say(cost)
    forward = Forward(model, hooks, job.ids, plan.prefixes, options.positions)
    tokens = options.batch_tokens if batching.together else 1
    if tokens == "auto":
        budget = find_budget(forward, plan.batches[0])
        plan = _plan(job, batching, budget.tokens)
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
    responses = Responses(job.checkpoint, job.inputs.modes, options.generate, options.positions, batching)
    n_rows = sum(len(plan.rows[index]) for index in missing)
    own = ranks.share(missing)
    done = job.manifest.counts.rows - n_rows if ranks.count == 1 else 0
    total = done + sum(len(plan.rows[index]) for index in own)
    started = time.perf_counter()
    silent, steps = options.quiet or not ranks.first, ["answering"] if responses.length else []
    with (
        progress(total, done, silent, *steps, f"collecting {Path(job.checkpoint.name).name}") as advance,
        Writer() as writer,
    ):
        for index in own:
            keeps = ranks.first or not ranks.split
            part = (job.folder, index) if keeps else None
            captured = capture(
                forward,
                responses.prepare(forward, plan.batches[index], budget, part, advance),
                budget,
                options,
                partial(advance, step=-1),
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
