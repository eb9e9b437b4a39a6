"""What in the model decides the mode: states patched, attention cut, directions added. Writes trace.json."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from margin.analysis.directions import Directions
from margin.arguments import named, require_count, require_level, require_number, require_path
from margin.errors import MarginError
from margin.inputs.moment import FIRST
from margin.inputs.options import CaptureKeywords, CaptureOptions, takes_options
from margin.launch import require_alone
from margin.run.manifest import NAME
from margin.run.run import open_run
from margin.streams import say
from margin.study.trace import Trace, traced
from margin.study.trace_file import WayRecord, write_trace
from margin.study.traced_rows import Measured, Pair
from margin.text import shown
from margin.tracing.cut import cut as cut_attention
from margin.tracing.job import Advance, Job
from margin.tracing.patch import control, patch
from margin.tracing.steer import answers as steered_answers
from margin.tracing.steer import steer as steer_along

if TYPE_CHECKING:
    from margin.capture.checkpoint import Checkpoint
    from margin.inputs.modes import ModeSet
    from margin.inputs.prompts import Prompts

DOSES = (0.5, 1.0, 2.0)
STEERED = 4
"""Layers that are steered, evenly spread, where none are named."""


@named
@takes_options
def trace(
    model: str | Path | Checkpoint,
    *,
    prompts: Prompts,
    modes: str | Path | ModeSet,
    out: str | Path,
    adapter: str | Path | None = None,
    pairs: Sequence[tuple[str, str]] | None = None,
    traced_layers: str | Sequence[int] = "all",
    cut: bool = True,
    steer: bool = True,
    steered_layers: Sequence[int] | None = None,
    doses: Sequence[float] = DOSES,
    answers: int = 0,
    level: float = 0.95,
    cluster: str | None = None,
    **options: Unpack[CaptureKeywords],
) -> Trace:
    """Find the layers whose state decides the mode, and what it takes to change it; kept in OUT/trace.json.

    The run in `out` is what rows are placed by; it is collected first, with all layers, unless it is there.
    Then, for every prompt: the last position's state after each layer is replaced by that of the same prompt
    under another mode (patch); attention to the token is blocked after each layer (cut); and the mean
    difference between two modes is added, or taken out (steer). Each with its controls, and patches also for
    the run's decoy sets: tokens that mean nothing are told apart, too, and what they give is no finding.

    Parameters
    ----------
    model : a local folder, a hub id, a GGUF file, or a loaded `Checkpoint`, which is left as it was.
    prompts, modes : as for `margin.collect`.
    out : folder of the run.
    adapter : PEFT adapter, a folder or a hub id.
    pairs : (recipient, donor) modes to patch and steer; all ordered pairs unless given.
    traced_layers : layers to patch and cut, as `layers` has them.
    cut, steer : whether to do these, too.
    steered_layers : four of the traced, evenly spread, unless given.
    doses : multiples of the difference that are added.
    answers : tokens of the answers to generate while steering, judged by the refusal matcher; 0: none.
    level : nominal coverage of each interval, and of each band as a whole.
    cluster : column of the prompts that names what hangs together; intervals are then over clusters.
    {options}

    Raises
    ------
    MarginError : bad input, a layer or a mode that there is not, a model whose states cannot be patched; one
        process of several (torchrun).
    IncomparableError : the run is of another checkpoint, or of other prompts or modes.

    Cost: patching all L layers costs, for each pair, L/2 tokens' worth of a pass; cutting, L/2 passes.

    Example
    -------
    >>> import margin
    >>> from margin.demo import checkpoint_path, modes_path, prompts_path
    >>> found = margin.trace(
    ...     checkpoint_path("cotrained"),
    ...     prompts=prompts_path(),
    ...     modes=modes_path(),
    ...     out="traced-run",
    ...     limit=40,
    ...     decoys=0,
    ...     quiet=True,
    ... )
    >>> found.record.handover.layer  # the first layer whose state decides, of 4
    4
    """
    require_alone("margin trace")
    for dose in doses:
        require_number(dose, "doses")
    from margin.capture.checkpoint import Checkpoint
    from margin.capture.collect import collect
    from margin.capture.hooks import n_layers
    from margin.capture.layers import parse_layers
    from margin.capture.prepare import checkpoint_for, load_inputs
    from margin.capture.progress import progress
    from margin.capture.ranks import Ranks
    from margin.capture.trace_rows import rows_of_run
    from margin.capture.trace_ways import tracing
    from margin.capture.unquoted import unquoted

    asked = CaptureOptions(**options)
    if asked.measure_after != FIRST:
        raise MarginError(
            "what decides the mode is traced to the first token of an answer: leave out --measure-after"
        )
    require_level(level)
    require_path(out, "out")
    require_count(answers, "answers", 0)
    if not isinstance(model, Checkpoint):
        require_path(model, "model", " or a Checkpoint")
    folder = Path(out)
    loaded = model if isinstance(model, Checkpoint) else None
    public = {
        "the name of the model": loaded.name if loaded else model,
        "the name of the adapter": loaded.adapter if loaded else adapter,
        "the path of the run": folder,
    }
    inputs = load_inputs(prompts, modes, asked, public)
    chosen = _pairs(inputs.modes.names, pairs)
    if cluster is not None and cluster not in inputs.prompts.slices:  # now, and not after hours of collecting
        has = ", ".join(inputs.prompts.slices) or "none"
        raise MarginError(f"no column {shown(cluster)!r} to cluster by: the prompts have {has}")
    checkpoint = checkpoint_for(model, adapter, asked, Ranks())
    depth = n_layers(checkpoint.model)
    layers = parse_layers(traced_layers, depth)
    if not layers:
        raise MarginError("no layer to trace: name some, or all")
    steered = _steered(layers, steered_layers, depth) if steer else []
    if not (folder / NAME).exists():
        kept: dict[str, Any] = {"layers": "all", **options}
        collect(checkpoint, prompts=inputs.prompts.table, modes=inputs.modes, out=folder, **kept)
    run = open_run(folder)
    started = time.perf_counter()
    with checkpoint.evaluating(), unquoted():
        rows = rows_of_run(checkpoint, inputs, asked, run)
        with tracing(checkpoint.model, rows.live) as ways:
            tokens = 1024 if asked.batch_tokens == "auto" else asked.batch_tokens
            job = Job(checkpoint, ways, run, rows, chosen, tuple(layers), tokens, asked.seed, cluster)
            cuts = cut and ways.way.cut
            if cut and not cuts:
                say(f"attention is not cut: {ways.way.cut_reason}")
            with progress(_work(job, cuts, bool(steered)), 0, asked.quiet, "tracing") as advance:
                found = _measured(job, steered, doses, cuts, answers, advance)
            way = WayRecord(**asdict(ways.way))
    record = traced(
        run,
        found,
        way,
        depth=depth,
        seed=asked.seed,
        level=level,
        cluster=cluster,
        over=job.over,
        seconds=time.perf_counter() - started,
    )
    write_trace(record, run)
    return Trace(record)


def _pairs(modes: Sequence[str], asked: Sequence[tuple[str, str]] | None) -> tuple[Pair, ...]:
    """Ordered pairs of modes by their places; MarginError for a mode that there is not, or a pair of one."""
    if asked is None:
        return tuple(permutations(range(len(modes)), 2))
    listed = isinstance(asked, Collection) and not isinstance(asked, str | Mapping)
    if not listed or not all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in asked):
        raise MarginError("pairs must be a list of pairs of modes, such as [('pos', 'neg')]")
    found = []
    for recipient, donor in asked:
        for name in (recipient, donor):
            if name not in modes:
                raise MarginError(f"no mode {shown(name)!r} to trace: there are {', '.join(modes)}")
        if recipient == donor:
            raise MarginError(f"a pair takes two modes, {shown(donor)!r} is named twice")
        found.append((modes.index(recipient), modes.index(donor)))
    if not found:
        raise MarginError("no pair of modes to trace: name some, or leave pairs out")
    return tuple(dict.fromkeys(found))


def _steered(layers: Sequence[int], asked: Sequence[int] | None, depth: int) -> list[int]:
    from margin.capture.layers import parse_layers

    if asked is not None:
        found = parse_layers(asked, depth)
        if missing := [layer for layer in found if layer not in layers]:
            raise MarginError(f"layer {missing[0]} is steered but not traced: trace it, too")
        return found
    inner = [layer for layer in layers if 0 < layer < depth] or list(layers)
    return sorted({inner[place] for place in np.linspace(0, len(inner) - 1, STEERED).round().astype(int)})


def _work(job: Job, cuts: bool, steers: bool) -> int:
    """Rows that progress is told of."""
    decoys = sum(its.n for its in job.rows.decoys)
    return job.k * (len(job.control_prompts) + decoys + job.n * (1 + cuts + steers))


def _measured(
    job: Job, steered: Sequence[int], doses: Sequence[float], cuts: bool, answers: int, advance: Advance
) -> Measured:
    """Everything, one after the other."""
    rows, states = job.rows, dict[int, Any]()
    patched = patch(job, job.tracer, rows.live, job.marks, rows.places, steered, states, advance)
    controlled = control(job, advance)
    decoys, of_decoys = [], dict[int, Any]()
    for place, its in enumerate(rows.decoys):
        wanted = steered if place == 0 else ()
        tracer, marks, places = job.ways.of(its), job.decoy_marks(place), rows.decoy_places[place]
        decoys.append(patch(job, tracer, its, marks, places, wanted, of_decoys, advance))
    cutting = cut_attention(job, advance) if cuts else None
    directions = Directions.of(states, of_decoys, job.marks.fold, rows.decoy_prompts, job.seed)
    lines = steer_along(job, directions, steered, doses, advance) if steered else []
    middle = steered[len(steered) // 2] if steered else 0
    return Measured(
        marks=job.marks,
        space=job.space,
        layers=job.layers,
        patched=patched,
        controlled=controlled,
        decoy_prompts=rows.decoy_prompts,
        decoys=tuple(decoys),
        cutting=cutting,
        steered=tuple(lines),
        answers=steered_answers(job, directions, middle, doses, answers) if answers and steered else {},
    )
