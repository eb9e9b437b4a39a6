"""The baseline: a measurement as a small JSON file (format margin-baseline/1) that a repository can hold."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np

from margin.errors import MarginError
from margin.gate.measurement import Leak, MeasuredMargin, Measurement
from margin.run.files import write_atomic

FORMAT = "margin-baseline/1"

Record = dict[str, Any]


@cache
def schema() -> Record:
    """The JSON Schema of a baseline."""
    return json.loads(
        resources.files("margin.gate").joinpath("baseline.schema.json").read_text(encoding="utf-8")
    )


def write_baseline(measurement: Measurement, path: Path) -> None:
    """Write a measurement as a baseline, atomically; OSError where that is not possible."""
    record = to_record(measurement)
    record["checksum"] = checksum(record)
    # A line an entry: a new baseline shows in a diff by what changed.
    entries = [f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in record.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, ("{\n" + ",\n".join(entries) + "\n}\n").encode())


def read_baseline(path: Path) -> Measurement:
    """Read a baseline.

    Raises
    ------
    MarginError : no such file, cut short, edited, of another format, or no baseline at all.
    """
    try:
        record = json.loads(path.read_bytes())
    except OSError as error:
        raise MarginError(f"cannot read the baseline {path}: {error.strerror}") from None
    except ValueError:
        raise MarginError(
            f"{path} is no JSON or was cut short: write it again, margin baseline RUN"
        ) from None
    found = record.get("format") if isinstance(record, dict) else None
    if found != FORMAT:
        raise MarginError(
            f"{path} has format {found!r}, this version reads {FORMAT!r}: write it again, margin baseline RUN"
        )
    broken = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema()).iter_errors(record))
    if broken is not None:
        raise MarginError(
            f"{path} is no baseline: {broken.json_path} breaks the rule '{broken.validator}': "
            "write it again, margin baseline RUN"
        )
    if record.pop("checksum") != checksum(record):
        raise MarginError(f"{path} was edited, its checksum is wrong: write it again, margin baseline RUN")
    return from_record(record)


def checksum(record: Record) -> str:
    """SHA-256 of the content, whatever the layout of the file."""
    return hashlib.sha256(json.dumps(record, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


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
