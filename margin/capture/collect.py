"""Collecting: from a checkpoint, prompts and modes to a run on disk."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Unpack

from margin.arguments import named, require_path
from margin.capture.checkpoint import Checkpoint
from margin.capture.cost import Cost
from margin.capture.execute import estimate, execute
from margin.capture.loop import NotFiniteError
from margin.capture.prepare import Inputs, Job, checkpoint_for, load_inputs, prepare
from margin.capture.ranks import Ranks, join_ranks
from margin.capture.resume import is_as_asked
from margin.capture.thoughts import think
from margin.capture.unquoted import unquoted
from margin.errors import MarginError
from margin.inputs.modes import ModeSet
from margin.inputs.options import CaptureKeywords, CaptureOptions, takes_options
from margin.inputs.prompts import Prompts
from margin.run.folder import filling, require_run_folder
from margin.run.run import Run, open_run

NAMED = 10
"""Prompts an error names at most."""


@named
@takes_options
def collect(
    model: str | Path | Checkpoint,
    *,
    prompts: Prompts,
    modes: str | Path | ModeSet,
    out: str | Path,
    adapter: str | Path | None = None,
    ranks: Ranks | None = None,
    **options: Unpack[CaptureKeywords],
) -> Run:
    """Run every prompt under every mode through a checkpoint, once, and keep what the margin is measured on.

    Kept at the last prompt position, where the first token of the response is predicted (or, with
    `measure_after`, after what the model writes before it decides): the final state the
    head sees (float32), the states of `layers`, the `top_k` likeliest tokens and the logsumexp; full logits
    only with `save_logits`.

    Called again with the same arguments, a run that was interrupted or damaged is completed. It is refused,
    and the difference named, with other arguments, or where the model, its adapter, its template or a date in
    it are no longer the same, or where other versions of torch, transformers or peft would complete it.

    Under `torchrun` or `accelerate launch` every process calls this with the same arguments and a folder all
    of them see; each runs its share of the shards, which depend on nothing else. Whichever process dies, the
    same command finishes the rest, on another number of them too. With `device` "tp" the processes together
    hold one model instead, and all run all rows.

    Parameters
    ----------
    model : a local folder, a hub id, a GGUF file, or a loaded `Checkpoint`, which is left as it was.
    prompts : a file (JSON lines, CSV or Parquet), a Hugging Face data set (a folder, or an id on the hub), or
        what `margin.inputs.prompts.load_prompts` takes, which is told the column and the split.
    modes : the modes and their tokens, a TOML file or a `ModeSet`.
    out : folder of the run; readable by its owner only, and kept from being filled by others meanwhile.
    adapter : PEFT adapter, a folder or a hub id.
    ranks : the processes that fill the folder where it is not all of the launch: `Ranks()` is this one alone.
    {options}

    Raises
    ------
    MarginError : bad input, or a folder that another process is filling.
    IncomparableError : the folder holds another run.
    UnwritableError : `out` cannot be written.

    Cost: one forward pass a row, and a pass over the head: rows * vocabulary * width, and products of all
    pairs of at most 3,000 rows.

    Example
    -------
    >>> import margin
    >>> from margin.demo import checkpoint_path, modes_path, prompts_path
    >>> margin.collect(
    ...     checkpoint_path("cotrained"),
    ...     prompts=prompts_path(),
    ...     modes=modes_path(),
    ...     out="demo-run",
    ...     limit=40,
    ...     quiet=True,
    ... )
    Run('demo-run', rows=720, modes=['pos', 'neg', 'rej'])

    40 prompts under 3 modes, and under 5 sets of decoys for each.
    """
    require_path(out, "out")
    asked = CaptureOptions(**options)
    inputs, folder, ranks = checked(model, prompts, modes, out, adapter, ranks, asked)
    with filling(folder) if ranks.first else nullcontext():
        checkpoint = checkpoint_for(model, adapter, asked, ranks)
        job = prepare(checkpoint, inputs, asked, folder, ranks)
        try:
            with checkpoint.evaluating(), unquoted():
                if job.moment is None:
                    return execute(job)
                if ranks.from_first(partial(is_as_asked, job)):
                    return open_run(folder)
                return execute(think(job, job.moment))
        except NotFiniteError as error:
            raise nothing_to_measure(job, error) from None


@named
@takes_options
def plan(
    model: str | Path | Checkpoint,
    *,
    prompts: Prompts,
    modes: str | Path | ModeSet,
    out: str | Path,
    adapter: str | Path | None = None,
    **options: Unpack[CaptureKeywords],
) -> Cost:
    """What `margin.collect` with the same arguments would still have to do, before it does it.

    Everything is checked and proved as it is there, and nothing is written. Rows and tokens are exact; the
    time is at the pace of the rows that were run as a proof, without loading and the head pass.

    Parameters
    ----------
    model, prompts, modes, out, adapter : as `collect` has them; of a run that was begun, what it lacks.
    {options}

    Raises
    ------
    MarginError : bad input. IncomparableError : the folder holds another run.

    Cost: loading the checkpoint, and about twenty forward passes of a row.

    Example
    -------
    >>> import margin
    >>> from margin.demo import checkpoint_path, modes_path, prompts_path
    >>> cost = margin.plan(
    ...     checkpoint_path("cotrained"),
    ...     prompts=prompts_path(),
    ...     modes=modes_path(),
    ...     out="planned-run",
    ...     decoys=0,
    ...     limit=40,
    ... )
    >>> cost.rows, cost.conditions
    (120, 3)
    """
    require_path(out, "out")
    asked = CaptureOptions(**options)
    inputs, folder, ranks = checked(model, prompts, modes, out, adapter, Ranks(), asked)
    checkpoint = checkpoint_for(model, adapter, asked, ranks)
    job = prepare(checkpoint, inputs, asked, folder, ranks)
    try:
        with checkpoint.evaluating(), unquoted():
            return estimate(job)
    except NotFiniteError as error:
        raise nothing_to_measure(job, error) from None


def checked(
    model: str | Path | Checkpoint,
    prompts: Prompts,
    modes: str | Path | ModeSet,
    out: str | Path | None,
    adapter: str | Path | None,
    ranks: Ranks | None,
    asked: CaptureOptions,
    also_public: Mapping[str, object] | None = None,
) -> tuple[Inputs, Path, Ranks]:
    """What is asked, where it goes (`out`, None where nothing is kept) and who does it.

    `also_public` are more names that a run or an error shows, under what they are.

    MarginError for what cannot be used.
    """
    if out is not None:
        require_path(out, "out")
    if not isinstance(model, Checkpoint):
        require_path(model, "model", " or a Checkpoint")
    if adapter is not None:
        require_path(adapter, "adapter")
    if ranks is not None and not isinstance(ranks, Ranks):
        raise MarginError(
            f"ranks is {type(ranks).__name__}: leave it out, or give Ranks() for this process alone"
        )
    folder = Path("" if out is None else out)
    loaded = model if isinstance(model, Checkpoint) else None
    public = {
        "the name of the model": loaded.name if loaded else model,
        "the name of the adapter": loaded.adapter if loaded else adapter,
        "the path of the run": folder,
        **(also_public or {}),
    }
    inputs = load_inputs(prompts, modes, asked, public)
    if out is not None:
        require_run_folder(folder)
    ranks = join_ranks(asked.device) if ranks is None else ranks
    if ranks.split and asked.batch_tokens == "auto":
        raise MarginError("batch_tokens auto is found by each rank for itself: give a number with device tp")
    return inputs, folder, ranks


def nothing_to_measure(job: Job, error: NotFiniteError) -> MarginError:
    """What to say where the model answers some rows with no numbers: their prompts and conditions."""
    rows, prompts = job.rows, job.inputs.prompts
    broken = [f"{prompts.ids[rows[row].prompt]} ({rows[row].condition})" for row in error.rows]
    if len(broken) > NAMED:
        broken[NAMED:] = [f"and {len(broken) - NAMED} more"]
    return MarginError(
        "the model answers NaN or infinity, so there is nothing to measure: prompts " + ", ".join(broken)
    )
