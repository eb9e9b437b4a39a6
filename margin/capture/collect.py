"""Collecting: from a checkpoint, prompts and modes to a run on disk."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors.numpy import save

from margin.capture.budget import SMALLEST, Budget, find_budget
from margin.capture.checkpoint import Checkpoint, load_checkpoint
from margin.capture.head import tolerance
from margin.capture.headpass import head_pass, parquet_bytes
from margin.capture.identity import environment, identify
from margin.capture.layers import parse_layers
from margin.capture.loop import Captured, Forward, NotFiniteError, capture
from margin.capture.plan import Plan, make_plan
from margin.capture.progress import progress
from margin.capture.repeats import repeat_alone, repeat_mixed, rows_to_repeat, state_error
from margin.capture.soundness import examine
from margin.capture.taps import n_layers, tapped
from margin.capture.writer import Writer
from margin.errors import MarginError
from margin.inputs.attacks import load_attacks
from margin.inputs.chat import Chat
from margin.inputs.controls import Controls
from margin.inputs.modes import ModeSet, load_modes
from margin.inputs.preflight import preflight
from margin.inputs.prompts import PromptSet, load_prompts
from margin.inputs.rows import Row, build_control_rows, build_rows
from margin.run.files import PARTIAL, remove_partial, sha256_of, write_atomic
from margin.run.manifest import NAME, Manifest, Record, read_manifest
from margin.run.run import NOISE, Run, open_run
from margin.run.shards import is_whole, shard_path, write_shard

NAMED = 10
"""Prompts an error names at most."""


def collect(
    model: str | Path | Checkpoint,
    *,
    prompts: str | Path | Sequence[str] | pd.DataFrame | PromptSet,
    modes: str | Path | ModeSet,
    out: str | Path,
    adapter: str | Path | None = None,
    layers: str | Sequence[int] = "last",
    dtype: str = "auto",
    device: str | None = None,
    batch_tokens: int | Literal["auto"] = 1024,
    chat_kwargs: Mapping[str, Any] | None = None,
    response_prefix: str = "",
    chat_template: str | None = None,
    save_logits: bool = False,
    limit: int | None = None,
    controls: Sequence[str] = (),
    attacks: str | Path | None = None,
    draws: int = 1,
    seed: int = 0,
    top_k: int = 50,
    shard_rows: int = 512,
    noise_prompts: int = 32,
    trust_remote_code: bool = False,
    quiet: bool = False,
) -> Run:
    """Run every prompt under every mode through a checkpoint, once, and keep what the margin is measured on.

    Kept at the last prompt position, where the first token of the response is predicted: the final state the
    head sees (float32), the states of `layers` ("none", "last", "all", "every:4", "0,8,-1" or a list; 0 the
    embeddings, L the output of block L), the `top_k` likeliest tokens and the logsumexp; full logits only
    with `save_logits`.

    `batch_tokens` bounds the tokens a batch holds; it decides speed and memory, and the numbers only by
    rounding. "auto" finds it by trying a few batches; where memory runs out it is halved, and no row lost.
    `noise_prompts` of the prompts are run again one by one, in float32 where memory allows, and in other
    batches: how far the margins of these differ is the run's noise floor (0: not measured).

    Called again with the same arguments, a run that was interrupted or damaged is completed; with others it
    is refused and the difference named. `model` may be a loaded `Checkpoint`, left as it was.

    `controls` (some of none, random, near-miss, user-turn, with `draws` tokens each) and `attacks` (a file of
    templates, or "shipped") add conditions beside the modes, see `margin.inputs.controls`. `seed` draws their
    tokens, and chooses prompts where products of all rows would be too many.

    Raises MarginError for bad input, IncomparableError for a folder that holds another run, OSError where
    `out` cannot be written. Costs one forward pass a row, and a pass over the head (rows^2 * vocabulary).
    """
    folder = Path(out)
    prompt_set = prompts if isinstance(prompts, PromptSet) else load_prompts(prompts)
    prompt_set = prompt_set if limit is None else prompt_set.limit(limit)
    mode_set = modes if isinstance(modes, ModeSet) else load_modes(modes)
    beside = Controls(tuple(controls), load_attacks(attacks) if attacks else (), draws, seed)
    _prepare(folder)
    checkpoint = (
        model
        if isinstance(model, Checkpoint)
        else load_checkpoint(
            model, adapter=adapter, dtype=dtype, device=device, trust_remote_code=trust_remote_code
        )
    )
    chat = Chat(checkpoint.tokenizer, dict(chat_kwargs or {}), response_prefix, chat_template)
    flight = preflight(chat, mode_set, prompt_set, checkpoint.context)
    rows = build_rows(chat, prompt_set, mode_set, checkpoint.context)
    rows += build_control_rows(chat, prompt_set, mode_set, beside, rows, checkpoint.context)
    chosen = parse_layers(layers, n_layers(checkpoint.model))
    choices = {
        "layers": chosen,
        "top_k": top_k,
        "save_logits": save_logits,
        "controls": beside.identity(),
        "seed": seed,
    }
    manifest = Manifest(
        identity=identify(checkpoint, chat, flight, mode_set, prompt_set, rows, choices),
        environment=environment(checkpoint.model.device),
        tail=flight.tail,
        counts={"prompts": len(prompt_set), "modes": len(mode_set.names), "rows": len(rows)},
    )
    if (folder / NAME).exists():
        read_manifest(folder).require_same(manifest, folder)
    try:
        with checkpoint.evaluating():
            return _fill(
                checkpoint, manifest, folder, rows, prompt_set, batch_tokens, shard_rows, noise_prompts, quiet
            )
    except NotFiniteError as error:
        broken = [f"{prompt_set.ids[rows[row].prompt]} ({rows[row].condition})" for row in error.rows]
        if len(broken) > NAMED:
            broken[NAMED:] = [f"and {len(broken) - NAMED} more"]
        raise MarginError(
            f"the model answers NaN or infinity, so there is nothing to measure: prompts {', '.join(broken)}"
        ) from None


def _fill(
    checkpoint: Checkpoint,
    manifest: Manifest,
    folder: Path,
    rows: Sequence[Row],
    prompts: PromptSet,
    batch_tokens: int | Literal["auto"],
    shard_rows: int,
    noise_prompts: int,
    quiet: bool,
) -> Run:
    """Collect what the folder lacks: shards, then the head pass, then the manifest that calls the run
    whole.
    """
    ids, groups = [row.ids for row in rows], [row.condition for row in rows]
    with tapped(checkpoint.model, manifest.layers) as taps:
        sound, head = examine(checkpoint.model, taps, manifest.layers, ids, groups)
        planned = partial(
            make_plan, ids, groups, shard_rows=shard_rows, reuse_prefix=sound.reuse_prefix, pad=sound.pad
        )
        plan = planned(budget=SMALLEST if batch_tokens == "auto" else batch_tokens)
        repeated = rows_to_repeat(rows, noise_prompts, manifest.identity["seed"])
        todo = _missing_shards(folder, plan)
        if not todo and _is_whole(folder, len(repeated)):
            return open_run(folder)
        forward = Forward(checkpoint.model, taps, ids, plan.prefixes)
        if batch_tokens == "auto":
            budget = find_budget(forward, plan.batches[0])
            plan = planned(budget=budget.tokens)
        else:
            budget = Budget(batch_tokens)
        sizes = {"shards": len(plan.rows), "width": head.weight.shape[1], "vocabulary": head.vocabulary}
        manifest = replace(
            manifest,
            counts=manifest.counts | sizes,
            batching=sound.to_dict(),
            head={"scale": head.scale, "softcap": head.softcap},
        )
        manifest.write(folder)
        (folder / "shards").mkdir(exist_ok=True)
        remove_partial(folder)
        write_atomic(folder / "prompts.parquet", parquet_bytes(prompts.table))
        write_atomic(folder / "rows.parquet", parquet_bytes(_rows_table(rows, prompts)))
        throughput = _write_shards(forward, plan, budget, todo, manifest, folder, len(rows), quiet)
        noise_floor = (
            _repeat(forward, repeated, sound.pad, budget, Run(folder, manifest)) if repeated else None
        )
    head_pass(Run(folder, manifest), head, [row.prompt for row in rows], tolerance(checkpoint.model.dtype))
    names = ["prompts.parquet", "rows.parquet", "pairs.parquet", "information.parquet", "head.safetensors"]
    names += [NOISE] if repeated else []
    names += [shard_path(folder, i).relative_to(folder).as_posix() for i in range(len(plan.rows))]
    used = {"batch_tokens": budget.tokens, "asked": batch_tokens, "out_of_memory": budget.halvings}
    replace(
        manifest,
        batching=manifest.batching | used,
        throughput=throughput,
        noise_floor=noise_floor,
        files={name: sha256_of(folder / name) for name in names},
    ).write(folder)
    return open_run(folder)


def _prepare(folder: Path) -> None:
    """Make the folder, unless it holds something that is no run. Before the model is loaded: that takes
    long.
    """
    if folder.exists() and not folder.is_dir():
        raise MarginError(f"{folder} is a file: choose another folder for the run")
    visible = folder.is_dir() and any(not path.name.startswith(PARTIAL) for path in folder.iterdir())
    if visible and not (folder / NAME).exists():
        raise MarginError(f"{folder} is not empty and holds no run: choose another folder")
    folder.mkdir(parents=True, exist_ok=True)


def _missing_shards(folder: Path, plan: Plan) -> list[int]:
    """Shards that are not there, or not as they were written; the latter are named on stderr."""
    missing = []
    for index, rows in enumerate(plan.rows):
        path = shard_path(folder, index)
        if path.exists() and not is_whole(path, np.array(rows, dtype=np.int64)):
            print(f"margin: {path} is damaged and is collected again", file=sys.stderr)
            missing.append(index)
        elif not path.exists():
            missing.append(index)
    return missing


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
    plan: Plan,
    budget: Budget,
    todo: Sequence[int],
    manifest: Manifest,
    folder: Path,
    total: int,
    quiet: bool,
) -> Record:
    """Run and write the shards in `todo`; what the manifest keeps as throughput."""
    choices = manifest.identity
    n_rows = sum(len(plan.rows[index]) for index in todo)
    started = time.perf_counter()
    with progress(total, total - n_rows, quiet) as advance, Writer() as writer:
        for index in todo:
            captured = capture(
                forward,
                plan.batches[index],
                budget,
                top_k=choices["top_k"],
                save_logits=choices["save_logits"],
                advance=advance,
            )
            writer.submit(partial(_write, shard_path(folder, index), captured))
    seconds = time.perf_counter() - started
    return {
        "rows": n_rows,
        "seconds": seconds,
        "rows_per_s": n_rows / seconds,
        "tokens": plan.tokens,
        "padding_share": plan.padding_share,
    }


def _write(path: Path, captured: Captured) -> None:
    write_shard(path, captured.arrays())


def _repeat(forward: Forward, rows: Sequence[int], pad: bool, budget: Budget, run: Run) -> Record:
    """Run rows again and store their states; what the manifest keeps as noise floor."""
    alone, dtype = repeat_alone(forward, rows)
    mixed = repeat_mixed(forward, rows, pad, budget, run.manifest.identity["seed"])
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
