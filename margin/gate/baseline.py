"""The baseline: a measurement as a small JSON file (format margin-baseline/1) that a repository can hold."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from margin.errors import MarginError
from margin.gate.baseline_record import FORMAT, BaselineRecord, LeakRecord, MarginRecord
from margin.gate.measurement import OVERALL, Leak, MeasuredMargin, Measurement
from margin.run.files import make_folder, write_atomic
from margin.run.seal import read_sealed, sealed
from margin.study.sealed import broken_rule
from margin.text import json_text, shown

AGAIN = "write it again, margin baseline RUN"
"""What to do about a baseline that cannot be used."""
SEVEN_DIGITS = 1e-6
"""Relative error of a sum of influences, which are kept to seven digits."""


def write_baseline(measurement: Measurement, path: Path) -> None:
    """Write a measurement as a baseline, atomically; UnwritableError where that is not possible."""
    record = sealed(to_record(measurement).model_dump())
    # A line an entry: a new baseline shows in a diff by what changed.
    entries = [f"{json.dumps(key)}: {json_text(value)}" for key, value in record.items()]
    make_folder(path.parent)
    write_atomic(path, ("{\n" + ",\n".join(entries) + "\n}\n").encode())


def read_baseline(path: Path) -> Measurement:
    """Read a baseline.

    Raises
    ------
    MarginError : no such file, cut short, edited, of another format, or no baseline at all; also where its
        numbers cannot be those of a measurement, whoever sealed them.
    """
    try:
        record = BaselineRecord.model_validate(read_sealed(path, "baseline", FORMAT, AGAIN))
    except ValidationError as error:
        raise MarginError(f"{path} is no baseline: {shown(broken_rule(error))}: {AGAIN}") from None
    found = from_record(record)
    if absurd := _absurd(found):
        raise MarginError(f"{path} is no baseline, {absurd}: {AGAIN}")
    return found


def _absurd(found: Measurement) -> str | None:
    """What no measurement can say, where this one says it."""
    n, names = len(found.prompt_ids), [(margin.column, margin.name) for margin in found.margins]
    if found.overall.name != OVERALL or found.overall.column is not None or found.overall.n_prompts != n:
        return f"its first margin is not that of all its {n} prompts"
    if len(set(names)) < len(names):
        return "a margin stands twice"
    for margin in found.margins:
        influence = margin.influence
        if len(influence) != n or margin.n_prompts > n:
            return f"margin {shown(margin.name)} is not one of its {n} prompts"
        if margin.column is not None and not margin.name.startswith(f"{margin.column}="):
            return f"margin {shown(margin.name)} is no slice by {shown(margin.column)}"
        # Weights of prompts are shares: to give all a little more changes nothing.
        if abs(influence.sum()) > SEVEN_DIGITS * np.abs(influence).sum():
            return f"the influences of margin {shown(margin.name)} do not balance"
    for leak in found.leaks:
        if leak.n_leaks > leak.n_prompts:
            return f"more prompts leak under {shown(leak.condition)} than there are"
    return None


def to_record(measurement: Measurement) -> BaselineRecord:
    """A measurement as a baseline holds it."""
    return BaselineRecord(
        format=FORMAT,
        space=measurement.space,
        distance=measurement.distance,
        noise_floor=measurement.noise_floor,
        leaks=[LeakRecord(**asdict(leak)) for leak in measurement.leaks],
        margins=[
            MarginRecord(**{**asdict(margin), "influence": margin.influence.tolist()})
            for margin in measurement.margins
        ],
        prompt_ids=list(measurement.prompt_ids),
        provenance=measurement.provenance,
    )


def from_record(record: BaselineRecord) -> Measurement:
    """The inverse of `to_record`."""
    return Measurement(
        space=record.space,
        distance=record.distance,
        prompt_ids=tuple(record.prompt_ids),
        margins=tuple(
            MeasuredMargin(**{**dict(margin), "influence": np.array(margin.influence, dtype=np.float64)})
            for margin in record.margins
        ),
        leaks=tuple(Leak(**dict(leak)) for leak in record.leaks),
        noise_floor=record.noise_floor,
        provenance=record.provenance,
    )
