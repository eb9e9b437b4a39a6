"""Filling a run's folder: the shards it lacks, then the head pass, then the manifest that calls it whole."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors.numpy import save

from margin.capture.budget import SMALLEST, Budget, find_budget
from margin.capture.checkpoint import Checkpoint
from margin.capture.headpass import head_pass
from margin.capture.last_block import narrowing
from margin.capture.loop import Captured, Forward, capture
from margin.capture.placement import input_device
from margin.capture.plan import A_BATCH, A_BATCH_ON_ACCELERATOR, Plan, make_plan
from margin.capture.progress import progress
from margin.capture.ranks import Ranks
from margin.capture.repeats import repeat_alone, repeat_mixed, rows_to_repeat, state_error
from margin.capture.responses import Responses, likeliest
from margin.capture.rounding import tolerance
from margin.capture.soundness import examine
from margin.capture.taps import tapped
from margin.capture.writer import Writer
from margin.errors import MarginError
from margin.inputs.modes import ModeSet
from margin.inputs.prompts import PromptSet
from margin.inputs.rows import Row
from margin.run.answers import answers_so_far, join_parts
from margin.run.files import parquet_bytes, remove_partial, sha256_of, write_atomic
from margin.run.manifest import Manifest, Record, read_manifest
from margin.run.run import ANSWERS, NOISE, Run, open_run
from margin.run.shards import is_whole, shard_path, write_shard


def fill(
    checkpoint: Checkpoint,
    manifest: Manifest,
    folder: Path,
    rows: Sequence[Row],
    prompts: PromptSet,
    modes: ModeSet,
    batch_tokens: int | Literal["auto"],
    shard_rows: int,
    noise_prompts: int,
    ranks: Ranks,
    quiet: bool,
) -> Run:
    """Collect what the folder lacks: shards, then the head pass, then the manifest that calls the run
    whole.

    Each rank runs its share of the shards; all else is read and written by rank 0, and the others wait.
    """
    ids, groups = [row.ids for row in rows], [row.condition for row in rows]
    positions, generate = manifest.identity["positions"], manifest.identity["generate"]
    with tapped(checkpoint.model, manifest.layers) as taps, narrowing(checkpoint.model, taps):
        sound, head = examine(checkpoint.model, taps, ids, groups)
        planned = partial(
            make_plan,
            ids,
            groups,
            shard_rows=shard_rows,
            reuse_prefix=sound.reuse_prefix,
            pad=sound.pad,
            room=positions - 1,
            a_batch=A_BATCH if input_device(checkpoint.model).type == "cpu" else A_BATCH_ON_ACCELERATOR,
        )
        plan = planned(budget=SMALLEST if batch_tokens == "auto" else batch_tokens)
        repeated = rows_to_repeat(rows, noise_prompts, manifest.identity["seed"])
        sizes = {"shards": len(plan.rows), "width": head.weight.shape[1], "vocabulary": head.vocabulary}
        manifest = replace(
            manifest,
            counts=manifest.counts | sizes,
            batching=sound.to_dict(),
            head={"scale": head.scale, "softcap": head.softcap},
        )
        todo = ranks.from_first(lambda: _begin(folder, manifest, plan, rows, prompts, len(repeated)))
        if todo is None:
            return open_run(folder)
        forward = Forward(checkpoint.model, taps, ids, plan.prefixes, positions)
        responses = Responses(checkpoint, modes, generate, sound)
        if batch_tokens == "auto":
            budget = find_budget(forward, plan.batches[0])
            plan = planned(budget=budget.tokens)
        else:
            budget = Budget(batch_tokens, fixed=ranks.split)
        throughput = _write_shards(forward, responses, plan, budget, todo, manifest, folder, ranks, quiet)
        forward = Forward(checkpoint.model, taps, ids, plan.prefixes)
        again = (
            _run_again(forward, repeated, sound.pad, budget, manifest.identity["seed"])
            if repeated and (ranks.first or ranks.split)
            else None
        )

    def finish() -> Manifest:
        _require_all(folder, plan)
        run = Run(folder, manifest)
        noise_floor = None if again is None else _keep_again(run, repeated, *again)
        head_pass(run, head, [row.prompt for row in rows], tolerance(checkpoint.model.dtype))
        if generate:
            join_parts(folder)
        used = {"batch_tokens": budget.tokens, "asked": batch_tokens, "out_of_memory": budget.halvings}
        replace(
            manifest,
            batching=manifest.batching | used,
            throughput=throughput,
            noise_floor=noise_floor,
            greedy=likeliest(run),
            files={
                name: sha256_of(folder / name) for name in _files(folder, plan, bool(repeated), generate > 0)
            },
        ).write(folder)
        return open_run(folder).manifest

    return Run(folder, ranks.from_first(finish))


def _begin(
    folder: Path,
    manifest: Manifest,
    plan: Plan,
    rows: Sequence[Row],
    prompts: PromptSet,
    repeated: int,
) -> list[int] | None:
    """Write what a run begins with; the shards that are missing, or None where the run is whole already."""
    todo = _missing_shards(folder, plan, manifest.identity["generate"] > 0)
    if not todo and _is_whole(folder, repeated):
        return None
    if len(todo) < len(plan.rows):
        read_manifest(folder).require_same_libraries(manifest, folder)
    manifest.write(folder)
    (folder / "shards").mkdir(exist_ok=True)
    remove_partial(folder)
    write_atomic(folder / "prompts.parquet", parquet_bytes(prompts.table))
    write_atomic(folder / "rows.parquet", parquet_bytes(_rows_table(rows, prompts)))
    return todo


def _files(folder: Path, plan: Plan, repeated: bool, answered: bool) -> list[str]:
    """Every file of the run but the manifest, relative to its folder."""
    names = ["prompts.parquet", "rows.parquet", "pairs.parquet", "information.parquet", "head.safetensors"]
    names += [NOISE] if repeated else []
    names += [ANSWERS] if answered else []
    return names + [shard_path(folder, i).relative_to(folder).as_posix() for i in range(len(plan.rows))]


def _missing_shards(folder: Path, plan: Plan, answered: bool) -> list[int]:
    """Shards that are not there, or not as they were written; the latter are named on stderr.

    With `answered` also those without answers to all their rows.
    """
    missing = []
    answers = set(answers_so_far(folder)["row"]) if answered else set(chain(*plan.rows))
    for index, rows in enumerate(plan.rows):
        path = shard_path(folder, index)
        if path.exists() and not is_whole(path, np.array(rows, dtype=np.int64)):
            print(f"margin: {path} is damaged and is collected again", file=sys.stderr)
            missing.append(index)
        elif not path.exists() or not answers.issuperset(rows):
            missing.append(index)
    return missing


def _require_all(folder: Path, plan: Plan) -> None:
    """MarginError where a shard that some rank wrote cannot be seen from here."""
    missing = [path for i in range(len(plan.rows)) if not (path := shard_path(folder, i)).exists()]
    if missing:
        raise MarginError(
            f"{missing[0]} was written by another rank and cannot be seen here: choose a folder that all "
            "machines share, and run the same command again"
        )


def _is_whole(folder: Path, repeated: int) -> bool:
    """Whether every file is as it was written, and as many rows were repeated for the noise floor."""
    manifest = read_manifest(folder)
    noise_rows = manifest.noise_floor["rows"] if manifest.noise_floor else 0
    return (
        manifest.complete
        and noise_rows == repeated
        and all(
            (folder / name).is_file() and sha256_of(folder / name) == checksum
            for name, checksum in manifest.files.items()
        )
    )


def _write_shards(
    forward: Forward,
    responses: Responses,
    plan: Plan,
    budget: Budget,
    todo: Sequence[int],
    manifest: Manifest,
    folder: Path,
    ranks: Ranks,
    quiet: bool,
) -> Record:
    """Run and write this rank's share of the shards in `todo`, and wait for the others'; what the manifest
    keeps as throughput.

    Progress is shown of rank 0's share, which is like the others'.
    """
    choices = manifest.identity
    n_rows = sum(len(plan.rows[index]) for index in todo)
    own = ranks.share(todo)
    done = manifest.counts["rows"] - n_rows if ranks.count == 1 else 0
    total = done + sum(len(plan.rows[index]) for index in own)
    started = time.perf_counter()
    with progress(total, done, quiet or not ranks.first) as advance, Writer() as writer:
        for index in own:
            keeps = ranks.first or not ranks.split
            part = (folder, index) if keeps else None
            captured = capture(
                forward,
                responses.prepare(forward, plan.batches[index], budget, part),
                budget,
                top_k=choices["top_k"],
                save_logits=choices["save_logits"],
                advance=advance,
            )
            if keeps:
                writer.submit(partial(_write, shard_path(folder, index), captured))
    ranks.wait()
    seconds = time.perf_counter() - started - responses.seconds
    return {
        "rows": n_rows,
        "ranks": ranks.count,
        "seconds": seconds,
        "rows_per_s": n_rows / seconds,
        "tokens": plan.tokens,
        "padding_share": plan.padding_share,
    }


def _write(path: Path, captured: Captured) -> None:
    write_shard(path, captured.arrays())


def _run_again(
    forward: Forward, rows: Sequence[int], pad: bool, budget: Budget, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], str]:
    """States (M, d) of rows run alone and in other batches, and the dtype of the first."""
    alone, dtype = repeat_alone(forward, rows)
    return alone, repeat_mixed(forward, rows, pad, budget, seed), dtype


def _keep_again(
    run: Run, rows: Sequence[int], alone: NDArray[np.float32], mixed: NDArray[np.float32], dtype: str
) -> Record:
    """Store the states of rows that were run again; what the manifest keeps as noise floor."""
    arrays: dict[str, NDArray[np.generic]] = {"row": np.array(rows), "alone": alone, "mixed": mixed}
    write_atomic(run.path / NOISE, save(arrays))
    states = run.states()[rows]
    return {
        "rows": len(rows),
        "prompts": len(rows) // len(run.modes),
        "dtype": dtype,
        "state_error": max(state_error(alone, states), state_error(mixed, states)),
    }


def _rows_table(rows: Sequence[Row], prompts: PromptSet) -> pd.DataFrame:
    """The table `Run.rows` describes. Token ids stay out: the mode's token can be read from them."""
    return pd.DataFrame(
        {
            "row": range(len(rows)),
            "prompt_id": [prompts.ids[row.prompt] for row in rows],
            "condition": [row.condition for row in rows],
            "kind": [row.kind for row in rows],
            "mode": [row.mode for row in rows],
            "draw": [row.draw for row in rows],
            "n_tokens": [len(row.ids) for row in rows],
        }
    )
