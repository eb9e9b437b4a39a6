"""probe.json beside a run (format margin-probe/1): what `margin probe` found, for the report to show."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from margin.run.files import write_atomic
from margin.run.run import Run
from margin.run.seal import sealed
from margin.study.above import AboveRecord
from margin.study.beside import if_any, of_this_run
from margin.study.probing import Probing
from margin.study.record import Count, Number, Record, ScoreRecord, Text
from margin.text import json_text

FORMAT: Literal["margin-probe/1"] = "margin-probe/1"
NAME = "probe.json"


class DecidingRecord(Record):
    """The earliest layer that decides, and the rule."""

    layer: Count
    earliest: Count
    best: int
    share: float
    level: float
    rule: str


class LayerScore(ScoreRecord):
    """One number of one layer."""

    layer: int
    quantity: Literal[
        "accuracy",
        "auc",
        "calibration_error",
        "brier",
        "log_loss",
        "control_accuracy",
        "selectivity",
        "d_prime",
    ]
    of: Text
    """Mode, or kind of direction and pair of modes."""


class CurveScore(ScoreRecord):
    """One number of one layer, with an interval that holds for all layers at once."""

    layer: int
    quantity: str


class CosineRecord(Record):
    """Cosine between two directions in one layer."""

    layer: int
    first: str
    second: str
    cosine: Number


class TransferScore(ScoreRecord):
    """Accuracy of probes fitted in one domain and tried in another."""

    column: str
    layer: int
    source: str
    target: str


class AboveScore(AboveRecord):
    """A number of one layer beside the same probe's on each decoy set; `estimate` is live less their mean."""

    layer: int
    quantity: Literal["accuracy", "auc"]


class ProbeSettings(Record):
    """How the probes were made."""

    model_config = ConfigDict(extra="allow")

    folds: int
    level: float
    seed: int


class ProbeRecord(Record):
    """What `margin probe` found in a run."""

    format: Literal["margin-probe/1"]
    version: str
    """Of this program, when it was made."""
    run: str
    """Digest of the run it was made from."""
    settings: ProbeSettings
    modes: list[str]
    n_prompts: int
    chance: Annotated[float, Field(gt=0, le=0.5)]
    deciding: DecidingRecord
    scores: list[LayerScore]
    curve: list[CurveScore]
    """Accuracy with intervals that hold for all layers at once, and selectivity."""
    cosines: list[CosineRecord]
    transfer: list[TransferScore]
    above_decoys: list[AboveScore] = []
    """Accuracy and area above decoys; empty where the run has none."""


def probe_record(found: Probing, run: Run) -> ProbeRecord:
    """What probe.json holds: format, version of this program, digest of the run, and the findings."""
    return ProbeRecord(
        format=FORMAT, version=version("safety-margin"), run=run.manifest.digest, **found.to_dict()
    )


def write_probes(found: Probing, run: Run) -> Path:
    """Write RUN/probe.json, atomically, with a checksum of its own; the path. OSError where it cannot be.

    The run's manifest does not list it: a run stays what was collected.
    """
    path = run.path / NAME
    text = json_text(sealed(probe_record(found, run).model_dump()), indent=1, allow_nan=False)
    write_atomic(path, f"{text}\n".encode())
    return path


def require_probes(run: Run) -> ProbeRecord:
    """What RUN/probe.json holds; MarginError, which says why, where it cannot be used."""
    return of_this_run(run, NAME, FORMAT, ProbeRecord, f"margin probe {run.path}")


def read_probes(run: Run) -> ProbeRecord | None:
    """What RUN/probe.json holds; None where there is none that can be used."""
    return if_any(run, NAME, require_probes)
