"""Importing: a run from states that another engine made, where rows that are run again agree with them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import numpy as np
import torch
from torch import Tensor

from margin.arguments import named, require_path
from margin.capture.agreement import compare
from margin.capture.budget import Budget
from margin.capture.checkpoint import Checkpoint
from margin.capture.collect import checked, nothing_to_measure
from margin.capture.dumps import read_dump
from margin.capture.dumps.dump import Dump, with_depth
from margin.capture.execute import proved
from margin.capture.finish import Collected, finish
from margin.capture.head import Head
from margin.capture.hooks import HiddenStateHooks, hidden_state_hooks, n_layers
from margin.capture.joining import join
from margin.capture.last_block import last_block_hook
from margin.capture.loop import Captured, Forward, NotFiniteError
from margin.capture.plan import make_plan
from margin.capture.precision import precision_of, type_name
from margin.capture.prepare import Job, checkpoint_for, prepare
from margin.capture.ranks import Ranks
from margin.capture.repeats import repeat, rows_to_repeat
from margin.capture.reruns import STATE, after_last_block, layer_name, rows_to_compare
from margin.capture.resume import begin
from margin.capture.rounding import tolerance as tolerance_of
from margin.capture.unquoted import unquoted
from margin.errors import MarginError
from margin.inputs.kinds import as_kind, what_it_is
from margin.inputs.modes import ModeSet
from margin.inputs.options import MADE_HERE, CaptureKeywords, CaptureOptions, takes_options
from margin.inputs.prompts import Prompts
from margin.run.folder import filling
from margin.run.manifest import NAME, read_manifest
from margin.run.records import Imported
from margin.run.run import Run
from margin.run.shards import shard_path, write_shard
from margin.streams import say
from margin.text import counted

SAMPLE = 16
"""Rows that are run again, beside those of the noise floor."""
DEFAULT_TOKENS = 1024
"""Of a batch of those of the noise floor, for which it is not worth while to find more by trying."""


@named
@takes_options
def import_states(
    states: str | Path,
    *,
    model: str | Path | Checkpoint,
    prompts: Prompts,
    modes: str | Path | ModeSet,
    out: str | Path,
    adapter: str | Path | None = None,
    sample: int = SAMPLE,
    tolerance: float | None = None,
    dump_layers: Sequence[int] | None = None,
    **options: Unpack[CaptureKeywords],
) -> Run:
    """A run from states that another engine made, as `margin.collect` would have made it.

    The model is loaded here all the same: it renders and proves the rows, gives the head, and runs a sample
    of the rows again. Only where every one of these agrees is there a run; else what the states are in place
    of the right ones is said, with the number of rows: before-norm states, shifted positions, another
    request's states, a cut prefix, a wrong dtype and the like. What was computed or rounded in 16 bits is
    taken within a wider tolerance, and said.

    Parameters
    ----------
    states : arrays in safetensors, npz or Parquet with the names of the rows, or what vLLM's hidden-state
        connector, vllm-lens or TransformerLens save; docs/import.md has the formats. No pickled files.
    model, prompts, modes, out, adapter : as `margin.collect` has them.
    sample : rows to run again, drawn at random from all conditions, beside those of the noise floor.
    tolerance : relative difference up to which a row agrees; what rounding explains unless given.
    dump_layers : the layers an engine was asked for, as it numbers them, where its files do not say.
    {options}

    Raises
    ------
    MarginError : bad input; a dump that cannot be read, or that lacks rows or has some twice, which it names.
        A `StatesRefusedError`, which has `faults`, where rows that were run again do not agree.

    Cost: loading the checkpoint, some dozens of forward passes of a row, and the pass over the head.

    Example
    -------
    >>> import margin, numpy as np
    >>> from margin.demo import checkpoint_path, modes_path, prompts_path
    >>> asked = dict(prompts=prompts_path(), modes=modes_path(), decoys=0, limit=4)
    >>> there = margin.collect(checkpoint_path("cotrained"), out="there", quiet=True, **asked)
    >>> np.savez(
    ...     "states.npz",
    ...     states=there.states(),
    ...     prompt_id=there.rows["prompt_id"].to_numpy(dtype=str),
    ...     condition=there.rows["condition"].to_numpy(dtype=str),
    ... )
    >>> margin.import_states(
    ...     "states.npz", model=checkpoint_path("cotrained"), out="imported", quiet=True, **asked
    ... )
    Run('imported', rows=12, modes=['pos', 'neg', 'rej'])
    """
    asked = CaptureOptions(**options)
    require_path(states, "states")
    require_path(out, "out")
    _require_importable(asked, sample, tolerance, dump_layers)
    its = {"the path of the states": states}
    inputs, folder, ranks = checked(model, prompts, modes, out, adapter, Ranks(), asked, its)
    if (folder / NAME).exists() and read_manifest(folder).complete:
        raise MarginError(f"{folder} holds a run already: choose another folder")
    dump = read_dump(Path(states), dump_layers)
    with filling(folder):
        checkpoint = checkpoint_for(model, adapter, asked, ranks)
        dump = with_depth(dump, n_layers(checkpoint.model))
        options_of_run = replace(asked, layers=sorted(dump.layers) or "none")
        job = prepare(checkpoint, inputs, options_of_run, folder, ranks, imported=dump.engine)
        try:
            with (
                checkpoint.evaluating(),
                unquoted(),
                hidden_state_hooks(checkpoint.model, job.manifest.layers) as hooks,
                last_block_hook(checkpoint.model, hooks),
            ):
                return _import(dump, job, hooks, sample, tolerance)
        except NotFiniteError as error:
            raise nothing_to_measure(job, error) from None


def _require_importable(
    asked: CaptureOptions, sample: int, tolerance: float | None, dump_layers: Sequence[int] | None
) -> None:
    default = CaptureOptions()
    for name in MADE_HERE:
        if getattr(asked, name) != getattr(default, name):
            raise MarginError(f"{name} is for collecting: imported states are those that there are")
    if asked.device == "tp":
        raise MarginError(
            "device tp is for collecting: one process imports, spread the model with device auto"
        )
    if dump_layers is not None and [*as_kind(dump_layers, Sequence[int])] == []:
        raise MarginError(f"dump_layers {what_it_is(dump_layers)}: take a list of whole numbers")
    if sample < 1:
        raise MarginError(f"sample {sample}: take at least 1, or nothing shows that the states are right")
    if tolerance is not None and not (math.isfinite(tolerance) and 0 < tolerance < 1):
        raise MarginError(f"tolerance {tolerance}: take a number between 0 and 1")


def _import(dump: Dump, job: Job, hooks: HiddenStateHooks, sample: int, tolerance: float | None) -> Run:
    """Compare, and write the run."""
    model, options, folder = job.checkpoint.model, job.options, job.folder
    lines, unknown = join(dump, job.rows, job.inputs.prompts)
    job, batching, head, _ = proved(job, hooks)
    arrays = dict(sorted({layer_name(layer): its for layer, its in dump.layers.items()}.items()))
    if dump.states is not None:
        arrays = {STATE: dump.states, **arrays}
    # Each its own: a model's embeddings may be of 16 bits where all that is computed of them is of 32.
    precisions = {name: precision_of(its) for name, its in arrays.items()}
    limits = {
        name: tolerance or max(tolerance_of(model.dtype), tolerance_of(its))
        for name, its in precisions.items()
    }
    measured = STATE if dump.states is not None else layer_name(n_layers(model))
    precision, limit = precisions[measured], limits[measured]
    repeated = rows_to_repeat(job.rows, options.noise_prompts, options.seed)
    compared = rows_to_compare(job.rows, repeated, sample, options.seed)
    truth = compare(dump, job, hooks, head, lines, compared, arrays, limits)
    arrays = {name: its[lines].float() for name, its in arrays.items()}
    if dump.states is None:
        with hooks.disabled():
            arrays[STATE] = after_last_block(model, arrays[measured])
    away = (arrays[STATE][compared] - truth).norm(dim=1) / truth.norm(dim=1)
    if not bool((away <= limit).all()):  # the norm itself: the states that go into it were compared
        raise MarginError(
            f"{type(model).__name__} does more after its last block than can be done to its output alone: "
            "give states, what the head sees"
        )
    record = Imported(
        engine=dump.engine,
        source=dump.path.name,
        rows_compared=len(compared),
        largest_difference=float(away.max()),
        tolerance=limit,
        precision=type_name(precision),
        final_norm="here" if dump.states is None else "there",
        unknown=unknown,
    )
    if not options.quiet:
        _tell(dump.path, record, len(job.rows), torch.finfo(precision).eps > torch.finfo(model.dtype).eps)
    tokens = DEFAULT_TOKENS if options.batch_tokens == "auto" else options.batch_tokens
    plan = make_plan(
        job.ids,
        job.groups,
        budget=tokens,
        shard_rows=options.shard_rows,
        reuse_prefix=batching.reuse_prefix,
        pad=batching.pad,
    )
    job = job.recorded(
        counts=job.manifest.counts.replace(shards=len(plan.rows)),
        batching=batching,
        imported=record,
    )
    begin(job, plan, len(repeated))
    for index, rows in enumerate(plan.rows):
        of_shard = {name: its[list(rows)] for name, its in arrays.items()}
        write_shard(shard_path(folder, index), _shard(rows, of_shard, head, options.top_k).arrays())
    repeats, budget = None, Budget(tokens)
    if repeated:
        forward = Forward(model, hooks, job.ids, plan.prefixes)
        repeats = repeat(
            forward, repeated, budget, options.seed, pad=batching.pad, together=batching.together
        )
    manifest = finish(Collected(job, plan, budget, None, repeats), head, tolerance_of(model.dtype))
    return Run(folder, manifest)


def _shard(rows: Sequence[int], arrays: dict[str, Tensor], head: Head, top_k: int) -> Captured:
    """The rows of a shard as the loop would have captured them, its logits by the head."""
    logits = head.logits(arrays[STATE].to(head.device)).cpu()
    top = logits.topk(min(top_k, logits.shape[1]), dim=1)
    tensors = {
        STATE: arrays[STATE],
        **{name: its for name, its in arrays.items() if name != STATE},
        "topk_ids": top.indices.int(),
        "topk_logits": top.values,
        "logsumexp": logits.logsumexp(dim=1),
    }
    return Captured(np.array(rows, dtype=np.int64), {name: [its.numpy()] for name, its in tensors.items()})


def _tell(path: Path, found: Imported, rows: int, lower: bool) -> None:
    """Say what was found, and what is less than one would wish: a `lower` precision than the model's here."""
    compared, largest = found.rows_compared, found.largest_difference
    say(f"{path}: {compared} of {counted(rows, 'row')}, run again, agree to {largest:.1e}")
    if lower:
        say(f"its states are of {found.precision}, which is less than the model computes in here")
    if found.unknown:
        say(f"{counted(found.unknown, 'row')} of no prompt and condition of this run left out")
