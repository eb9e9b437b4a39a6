"""Collecting: from a checkpoint, prompts and modes to a run on disk."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from margin.capture.checkpoint import Checkpoint, load_checkpoint
from margin.capture.head import tolerance
from margin.capture.headpass import head_pass, parquet_bytes
from margin.capture.identity import environment, identify
from margin.capture.layers import parse_layers
from margin.capture.loop import Forward, NotFiniteError, capture
from margin.capture.plan import Plan, make_plan
from margin.capture.progress import progress
from margin.capture.soundness import examine
from margin.capture.taps import n_layers, tapped
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
from margin.run.run import Run, open_run
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
    batch_tokens: int = 2048,
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
    trust_remote_code: bool = False,
    quiet: bool = False,
) -> Run:
    """Run every prompt under every mode through a checkpoint, once, and keep what the margin is measured on.

    Kept at the last prompt position, where the first token of the response is predicted: the final state the
    head sees (float32), the states of `layers` ("none", "last", "all", "every:4", "0,8,-1" or a list; 0 the
    embeddings, L the output of block L), the `top_k` likeliest tokens and the logsumexp; full logits only
    with `save_logits`.

    `batch_tokens` bounds the tokens a batch holds; it decides speed and memory, and the numbers only by
    rounding. Called again with the same arguments, a run that was interrupted or damaged is completed; with
    others it is refused and the difference named. `model` may be a loaded `Checkpoint`, left as it was.

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
            return _fill(checkpoint, manifest, folder, rows, prompt_set, batch_tokens, shard_rows, quiet)
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
    batch_tokens: int,
    shard_rows: int,
    quiet: bool,
) -> Run:
    """Collect what the folder lacks: shards, then the head pass, then the manifest that calls the run
    whole.
    """
    ids, groups = [row.ids for row in rows], [row.condition for row in rows]
    with tapped(checkpoint.model, manifest.layers) as taps:
        sound, head = examine(checkpoint.model, taps, manifest.layers, ids, groups)
        plan = make_plan(
            ids,
            groups,
            budget=batch_tokens,
            shard_rows=shard_rows,
            reuse_prefix=sound.reuse_prefix,
            pad=sound.pad,
        )
        todo = _missing_shards(folder, plan)
        if not todo and _is_whole(folder):
            return open_run(folder)
        sizes = {"shards": len(plan.rows), "width": head.weight.shape[1], "vocabulary": head.vocabulary}
        manifest = replace(
            manifest,
            counts=manifest.counts | sizes,
            batching={**sound.to_dict(), "batch_tokens": batch_tokens},
            head={"scale": head.scale, "softcap": head.softcap},
        )
        manifest.write(folder)
        (folder / "shards").mkdir(exist_ok=True)
        remove_partial(folder)
        write_atomic(folder / "prompts.parquet", parquet_bytes(prompts.table))
        write_atomic(folder / "rows.parquet", parquet_bytes(_rows_table(rows, prompts)))
        forward = Forward(checkpoint.model, taps, ids, plan.prefixes)
        throughput = _write_shards(forward, plan, todo, manifest, folder, len(rows), quiet)
    head_pass(Run(folder, manifest), head, [row.prompt for row in rows], tolerance(checkpoint.model.dtype))
    names = ["prompts.parquet", "rows.parquet", "pairs.parquet", "head.safetensors"]
    names += [shard_path(folder, i).relative_to(folder).as_posix() for i in range(len(plan.rows))]
    files = {name: sha256_of(folder / name) for name in names}
    replace(manifest, throughput=throughput, files=files).write(folder)
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


def _is_whole(folder: Path) -> bool:
    manifest = read_manifest(folder)
    return manifest.complete and all(
        (folder / name).is_file() and sha256_of(folder / name) == checksum
        for name, checksum in manifest.files.items()
    )


def _write_shards(
    forward: Forward,
    plan: Plan,
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
    with progress(total, total - n_rows, quiet) as advance:
        for index in todo:
            arrays = capture(
                forward,
                plan.batches[index],
                top_k=choices["top_k"],
                save_logits=choices["save_logits"],
                advance=advance,
            )
            write_shard(shard_path(folder, index), arrays)
    seconds = time.perf_counter() - started
    return {
        "rows": n_rows,
        "seconds": seconds,
        "rows_per_s": n_rows / seconds,
        "tokens": plan.tokens,
        "padding_share": plan.padding_share,
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
