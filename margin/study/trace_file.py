"""trace.json beside a run (format margin-trace/1): what `margin trace` found, for the report to show.

Numbers over prompts only: nothing of a single row, and no token.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from margin.run.files import write_atomic
from margin.run.run import Run
from margin.run.seal import sealed
from margin.study.beside import if_any, of_this_run
from margin.study.record import Count, EstimateRecord, Number, Record, Share, Text
from margin.text import json_text

FORMAT: Literal["margin-trace/1"] = "margin-trace/1"
NAME = "trace.json"
ALL = "all"
"""In place of a mode: the mean over all pairs."""


class PatchRecord(Record):
    """Rows whose last position's state after a layer is that of the same prompt under another mode."""

    layer: int
    donor: str
    recipient: str
    """Modes, both "all" for the mean over all pairs."""
    share: EstimateRecord
    """Share that lands in the donor's mode."""
    transfer: EstimateRecord
    """How far the logits went from the recipient's to the donor's: 0 not at all, 1 whole."""


class CutRecord(Record):
    """Rows where, after a layer, no later position attends to the token."""

    layer: int
    kept: EstimateRecord
    """Share that lands in its own mode all the same."""
    margin: EstimateRecord
    """How much nearer their own mode is than the nearest other, -1 to 1."""


class HandoverRecord(Record):
    """The first layer from which on, up to the last, a share stays above a bound."""

    layer: Count
    low: Count
    high: Count
    above: Share
    level: Share
    n_prompts: Count
    """Prompts that would settle it where it is open; null where it is settled, or where no number would."""


class ControlRecord(Record):
    """Rows patched with what must not change the mode."""

    layer: int
    control: Literal["same mode", "random vector"]
    """Donor: another prompt under the same mode; or a random vector added, as long as a mode's donor is
    away."""
    moved: EstimateRecord
    """Share that lands in another mode than its own."""


class AboveRecord(EstimateRecord):
    """A number of the live tokens' patches less the mean of the decoy sets', on the same prompts."""

    layer: int
    measure: Literal["share", "effect"]
    """"share" as in `patch`; "effect": how far the logits went towards the donor's, where 1 is what lies
    between two live modes."""
    live: float
    decoys: list[float]
    """The number of each set."""
    rank_p: Annotated[float, Field(gt=0, le=1)]
    n_needed: Count = None
    """Prompts that would show, at level .95 and power .8, a difference of this size; null where it is shown,
    or where no number would, as the sets differ among themselves."""


class SteerRecord(Record):
    """Rows with a direction added to the last position's state after a layer."""

    layer: int
    pair: str
    """"a to b": from rows under a along the mean difference of b and a, found on other prompts; "all" for the
    mean over pairs."""
    dose: float
    """How many times the difference is added."""
    control: Literal["direction", "random", "decoys", "permuted", "projected out"]
    """"direction" is no control. The others have its length: a random one, that between two decoys, that with
    permuted modes. "projected out": nothing is added, the state's part along the direction is that of all
    modes' mean."""
    share: EstimateRecord
    """Share that lands in mode b."""
    kept: EstimateRecord
    """Share that lands in mode a."""
    margin: EstimateRecord
    """How much nearer mode b is than the nearest other, -1 to 1."""
    divergence: EstimateRecord | None = None
    """Of the next token's distribution from that without it, in nats; of rows under the first mode."""


class AnswersRecord(Record):
    """Answers with a direction added at every position while they are generated."""

    layer: int
    pair: str
    dose: float
    refused: EstimateRecord
    """Share that the refusal matcher finds to refuse."""


class WayRecord(Record):
    """How it was computed, and why: only ways that were proved equal to a plain pass."""

    replay: bool
    replay_reason: str
    skip: bool
    skip_reason: str
    cut: bool
    cut_reason: str


class TraceSettings(Record):
    """How it was made."""

    level: Share
    seed: int
    cluster: Text = None
    space: str
    """Where rows are placed: "logits", or "state" where the head is not affine."""
    folds: int


class TraceRecord(Record):
    """What `margin trace` found."""

    format: Literal["margin-trace/1"]
    version: str
    """Of this program, when it was made."""
    run: str
    """Digest of the run it belongs to."""
    settings: TraceSettings
    way: WayRecord
    modes: list[str]
    depth: int
    """Blocks of the model."""
    layers: list[int]
    n_prompts: int
    accuracy: EstimateRecord
    """How often a row that nothing was done to lands in its own mode."""
    unchanged: Number
    """Largest relative difference of a final state where a state is replaced by itself: rounding."""
    seconds: float
    patch: list[PatchRecord]
    handover: HandoverRecord
    """Where patched rows land with the donor in more than half."""
    cut: list[CutRecord]
    """Empty where attention was not cut."""
    cut_handover: HandoverRecord | None
    """Where the cut no longer matters: that many rows keep their mode."""
    controls: list[ControlRecord]
    above_decoys: list[AboveRecord]
    """Empty without decoys."""
    beyond_decoys: HandoverRecord | None
    """Where the effect stays above that of decoys."""
    steer: list[SteerRecord]
    answers: list[AnswersRecord] = []


def write_trace(found: TraceRecord, run: Run) -> Path:
    """Write RUN/trace.json, atomically, with a checksum of its own; the path. OSError where it cannot be.

    The run's manifest does not list it: a run stays what was collected.
    """
    path = run.path / NAME
    text = json_text(sealed(found.model_dump()), indent=1, allow_nan=False)
    write_atomic(path, f"{text}\n".encode())
    return path


def require_trace(run: Run) -> TraceRecord:
    """What RUN/trace.json holds; MarginError, which says why, where it cannot be used."""
    return of_this_run(run, NAME, FORMAT, TraceRecord, f"margin trace MODEL ... --out {run.path}")


def read_trace(run: Run) -> TraceRecord | None:
    """What RUN/trace.json holds; None where there is none that can be used."""
    return if_any(run, NAME, require_trace)
