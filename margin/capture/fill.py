"""Filling a run's folder: the shards it lacks, then the head pass, then the manifest that calls it whole."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
from margin.capture.repeats import Repeats, repeat, rows_to_repeat, state_error
from margin.capture.responses import Responses, likeliest
from margin.capture.rounding import tolerance
from margin.capture.soundness import Soundness, examine, one_by_one
from margin.capture.taps import tapped
from margin.capture.writer import Writer
from margin.errors import MarginError
from margin.inputs.modes import ModeSet
from margin.inputs.prompts import PromptSet
from margin.inputs.rows import Row
from margin.run.answers import PARTS, answers_so_far, join_parts
from margin.run.files import make_folder, parquet_bytes, remove_partial, sha256_of, write_atomic
from margin.run.manifest import NAME, Manifest, Record, read_manifest
from margin.run.run import ANSWERS, NOISE, Run, open_run
from margin.run.shards import is_whole, shard_path, write_shard
from margin.streams import say


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

    Rows that are repeated must come out as they did: where they do not, all rows are collected again, each
    by a plain forward pass of its own. MarginError where they do not then either, and where response
    positions are asked for of a model that looks ahead.
    """
    ids, groups = [row.ids for row in rows], [row.condition for row in rows]
    model, name = checkpoint.model, type(checkpoint.model).__name__
    positions, generate = manifest.identity["positions"], manifest.identity["generate"]
    seed, limit = manifest.identity["seed"], tolerance(model.dtype)
    repeated = rows_to_repeat(rows, noise_prompts, seed)
    found: _Filled | None = None
    with tapped(model, manifest.layers) as taps, narrowing(model, taps):
        sound, head = examine(model, taps, ids, groups)
        sound = ranks.from_first(lambda: _as_begun(folder)) or sound
        sizes = {"width": head.weight.shape[1], "vocabulary": head.vocabulary}
        manifest = replace(
            manifest,
            counts=manifest.counts | sizes,
            head={"scale": head.scale, "softcap": head.softcap},
        )
        while found is None:
            if positions > 1 and not sound.pad:
                raise MarginError(
                    f"{name} looks ahead of a position ({sound.pad_reason}), so a pass over a whole answer "
                    "does not give its positions: collect without --positions"
                )
            taps.narrow = sound.narrow
            planned = partial(
                make_plan,
                ids,
                groups,
                shard_rows=shard_rows,
                reuse_prefix=sound.reuse_prefix,
                pad=sound.pad,
                room=positions - 1,
                a_batch=A_BATCH if input_device(model).type == "cpu" else A_BATCH_ON_ACCELERATOR,
            )
            tokens = batch_tokens if sound.together else 1
            plan = planned(budget=SMALLEST if tokens == "auto" else tokens)
            manifest = replace(
                manifest,
                counts=manifest.counts | {"shards": len(plan.rows)},
                batching=sound.to_dict(),
            )
            todo = ranks.from_first(partial(_begin, folder, manifest, plan, rows, prompts, len(repeated)))
            if todo is None:
                return open_run(folder)
            forward = Forward(model, taps, ids, plan.prefixes, positions)
            responses = Responses(checkpoint, modes, generate, sound)
            if tokens == "auto":
                budget = find_budget(forward, plan.batches[0])
                plan = planned(budget=budget.tokens)
            else:
                budget = Budget(tokens, fixed=ranks.split)
            throughput = _write_shards(forward, responses, plan, budget, todo, manifest, folder, ranks, quiet)
            again = None
            if repeated and (ranks.first or ranks.split):
                forward = Forward(model, taps, ids, plan.prefixes)
                again = repeat(forward, repeated, budget, seed, pad=sound.pad, together=sound.together)
            moved = ranks.from_first(partial(_moved, folder, plan, manifest, again))
            if moved <= limit:
                found = _Filled(plan, budget, throughput, again)
            elif sound == one_by_one(sound.pad_reason):
                raise MarginError(
                    f"{name} gives the same row other states each time ({moved:.1e} apart, where rounding "
                    f"explains {limit:.1e}): there is nothing to measure"
                )
            else:
                sound = one_by_one(f"batches move the states by {moved:.1e}")
                ranks.from_first(partial(_discard, folder, sound))

    def finish() -> Manifest:
        _require_all(folder, found.plan)
        run = Run(folder, manifest)
        noise_floor = None if found.again is None else _keep_again(run, found.again)
        head_pass(run, head, [row.prompt for row in rows], limit)
        if generate:
            join_parts(folder)
        used = {"batch_tokens": found.budget.tokens, "asked": batch_tokens}
        replace(
            manifest,
            batching=manifest.batching | used | {"out_of_memory": found.budget.halvings},
            throughput=found.throughput,
            noise_floor=noise_floor,
            greedy=likeliest(run),
            files={
                name: sha256_of(folder / name)
                for name in _files(folder, found.plan, bool(repeated), generate > 0)
            },
        ).write(folder)
        return open_run(folder).manifest

    return Run(folder, ranks.from_first(finish))


@dataclass(frozen=True)
class _Filled:
    """How the shards that a run keeps were collected."""

    plan: Plan
    budget: Budget
    throughput: Record
    again: Repeats | None


def _as_begun(folder: Path) -> Soundness | None:
    """How a run goes on that was found to need every row by itself; None of any other."""
    batching = read_manifest(folder).batching if (folder / NAME).exists() else {}
    return None if batching.get("together", True) else one_by_one(batching["together_reason"])


def _moved(folder: Path, plan: Plan, manifest: Manifest, again: Repeats | None) -> float:
    """How far rows that were repeated came out from what the shards hold of them; 0 where none were."""
    if again is None:
        return 0.0
    _require_all(folder, plan)
    return again.moved(Run(folder, manifest).states())


def _discard(folder: Path, sound: Soundness) -> None:
    """Remove the shards and answers that were collected another way, and say so on stderr."""
    say(f"{sound.together_reason}; all rows are collected again")
    for part in ("shards", PARTS):
        shutil.rmtree(folder / part, ignore_errors=True)
    (folder / ANSWERS).unlink(missing_ok=True)


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
    make_folder(folder / "shards")
    for place in (folder, *filter(Path.is_dir, folder.iterdir())):
        remove_partial(place)
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
            say(f"{path} is damaged and is collected again")
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


def _keep_again(run: Run, again: Repeats) -> Record:
    """Store the states of rows that were run again; what the manifest keeps as noise floor."""
    arrays: dict[str, NDArray[np.generic]] = {
        "row": np.array(again.rows),
        "alone": again.alone,
        "mixed": again.mixed,
    }
    write_atomic(run.path / NOISE, save(arrays))
    states = run.states()[again.rows]
    return {
        "rows": len(again.rows),
        "prompts": len(again.rows) // len(run.modes),
        "dtype": again.dtype,
        "state_error": max(state_error(again.alone, states), state_error(again.mixed, states)),
    }


def _rows_table(rows: Sequence[Row], prompts: PromptSet) -> pd.DataFrame:
    """The table `Run.rows` describes. Token ids stay out: the mode's token can be read from them; so does
    their number, which tells its length.
    """
    return pd.DataFrame(
        {
            "row": range(len(rows)),
            "prompt_id": [prompts.ids[row.prompt] for row in rows],
            "condition": [row.condition for row in rows],
            "kind": [row.kind for row in rows],
            "mode": [row.mode for row in rows],
            "draw": [row.draw for row in rows],
        }
    )
