"""Finishing: from shards that are all there to a run that is whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from margin.capture.alike import one_token
from margin.capture.budget import Budget
from margin.capture.head import Head
from margin.capture.headpass import head_pass
from margin.capture.plan import Plan
from margin.capture.prepare import Job
from margin.capture.repeats import Repeats, state_error
from margin.capture.responses import likeliest
from margin.capture.resume import require_all_shards
from margin.inputs.moment import all_alike
from margin.run.answers import join_parts
from margin.run.files import sha256_of, write_atomic
from margin.run.manifest import Manifest
from margin.run.records import NoiseFloor, Throughput
from margin.run.run import NOISE, Run, open_run
from margin.run.run_tables import ANSWERS, THOUGHTS
from margin.run.shards import shard_path
from margin.streams import say


@dataclass(frozen=True, eq=False)
class Collected:
    """How the shards that a run keeps were collected."""

    job: Job
    plan: Plan
    budget: Budget
    throughput: Throughput | None
    """None where the states were imported."""
    repeats: Repeats | None


def finish(collected: Collected, head: Head, limit: float) -> Manifest:
    """The head pass, then the manifest that calls the run whole, as it is read again.

    `limit` is how far logits of the head may be from those of the forward pass, relative to a row's largest.
    """
    job, options = collected.job, collected.job.options
    folder, manifest = job.folder, job.manifest
    require_all_shards(folder, collected.plan)
    run = Run(folder, manifest)
    noise_floor = None if collected.repeats is None else _keep_repeats(run, collected.repeats)
    of_head = head_pass(run, head, [row.prompt for row in job.rows], limit)
    if options.generate:
        join_parts(folder)
    alike = one_token(run, job.checkpoint, job.inputs.modes)
    if alike is not None and not options.quiet:
        say(all_alike(alike.token, alike.share, options.measure_after))
    manifest.replace(
        batching=manifest.batching.replace(
            batch_tokens=collected.budget.tokens,
            asked=options.batch_tokens,
            out_of_memory=collected.budget.halvings,
        ),
        throughput=collected.throughput,
        noise_floor=noise_floor,
        greedy=likeliest(run),
        one_token=alike,
        files={name: sha256_of(folder / name) for name in _files(collected, of_head)},
    ).write(folder)
    return open_run(folder).manifest


def _files(collected: Collected, of_head: list[str]) -> list[str]:
    """Every file of the run but the manifest, relative to its folder; `of_head`: those of the head pass."""
    folder = collected.job.folder
    names = ["prompts.parquet", "rows.parquet", *of_head]
    names += [NOISE] if collected.repeats is not None else []
    names += [THOUGHTS] if collected.job.moment is not None else []
    names += [ANSWERS] if collected.job.options.generate else []
    shards = (shard_path(folder, index) for index in range(len(collected.plan.rows)))
    return names + [path.relative_to(folder).as_posix() for path in shards]


def _keep_repeats(run: Run, repeats: Repeats) -> NoiseFloor:
    """Store the states of rows that were run again, for the noise floor."""
    arrays: dict[str, NDArray[np.generic]] = {
        "row": np.array(repeats.rows),
        "alone": repeats.alone,
        "mixed": repeats.mixed,
    }
    write_atomic(run.path / NOISE, save(arrays))
    states = run.states()[repeats.rows]
    return NoiseFloor(
        rows=len(repeats.rows),
        prompts=len(repeats.rows) // len(run.modes),
        dtype=repeats.dtype,
        state_error=max(state_error(repeats.alone, states), state_error(repeats.mixed, states)),
    )
