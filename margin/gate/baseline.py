"""The baseline: a measurement as a small JSON file (format margin-baseline/1) that a repository can hold."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np

from margin.errors import MarginError
from margin.gate.measurement import OVERALL, Leak, MeasuredMargin, Measurement
from margin.run.files import make_folder, write_atomic
from margin.run.seal import read_sealed, sealed
from margin.text import json_text, shown

FORMAT = "margin-baseline/1"

AGAIN = "write it again, margin baseline RUN"
"""What to do about a baseline that cannot be used."""
SEVEN_DIGITS = 1e-6
"""Relative error of a sum of influences, which are kept to seven digits."""

Record = dict[str, Any]


@cache
def schema() -> Record:
    """The JSON Schema of a baseline."""
    found: Record = json.loads(
        resources.files("margin.gate").joinpath("baseline.schema.json").read_text(encoding="utf-8")
    )
    return found


def write_baseline(measurement: Measurement, path: Path) -> None:
    """Write a measurement as a baseline, atomically; UnwritableError where that is not possible."""
    record = sealed(to_record(measurement))
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
    record = read_sealed(path, "baseline", FORMAT, AGAIN)
    validator = jsonschema.Draft202012Validator(schema())
    broken = jsonschema.exceptions.best_match(validator.iter_errors(sealed(record)))
    if broken is not None:
        raise MarginError(
            f"{path} is no baseline: {broken.json_path} breaks the rule '{broken.validator}': {AGAIN}"
        )
    found = from_record(record)
    if absurd := _absurd(found):
        raise MarginError(f"{path} is no baseline, {absurd}: {AGAIN}")
    return found


def _absurd(found: Measurement) -> str | None:
    """What no measurement can say, where this one says it."""
    n, names = len(found.prompt_ids), [margin.name for margin in found.margins]
    if found.overall.name != OVERALL or found.overall.column is not None or found.overall.n_prompts != n:
        return f"its first margin is not that of all its {n} prompts"
    if len(set(names)) < len(names):
        return "a margin stands twice"
    for margin in found.margins:
        influence = margin.influence
        if len(influence) != n or margin.n_prompts > n:
            return f"margin {shown(margin.name)} is not one of its {n} prompts"
        # Weights of prompts are shares: to give all a little more changes nothing.
        if abs(influence.sum()) > SEVEN_DIGITS * np.abs(influence).sum():
            return f"the influences of margin {shown(margin.name)} do not balance"
    for leak in found.leaks:
        if leak.n_leaks > leak.n_prompts:
            return f"more prompts leak under {shown(leak.condition)} than there are"
    return None


def to_record(measurement: Measurement) -> Record:
    """A measurement as plain values, without the checksum."""
    return {
        "format": FORMAT,
        "space": measurement.space,
        "distance": measurement.distance,
        "noise_floor": measurement.noise_floor,
        "leaks": [asdict(leak) for leak in measurement.leaks],
        "margins": [
            {**asdict(margin), "influence": margin.influence.tolist()} for margin in measurement.margins
        ],
        "prompt_ids": list(measurement.prompt_ids),
        "provenance": measurement.provenance,
    }


def from_record(record: Record) -> Measurement:
    """The inverse of `to_record`."""
    return Measurement(
        space=record["space"],
        distance=record["distance"],
        prompt_ids=tuple(record["prompt_ids"]),
        margins=tuple(
            MeasuredMargin(**{**margin, "influence": np.array(margin["influence"], dtype=np.float64)})
            for margin in record["margins"]
        ),
        leaks=tuple(Leak(**leak) for leak in record["leaks"]),
        noise_floor=record["noise_floor"],
        provenance=record["provenance"],
    )
