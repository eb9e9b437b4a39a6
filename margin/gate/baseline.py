"""The baseline: a measurement as a small JSON file (format margin-baseline/1) that a repository can hold."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from margin.errors import MarginError
from margin.gate.baseline_record import (
    FORMAT,
    AboveDecoysRecord,
    BaselineRecord,
    LeakRecord,
    MarginRecord,
)
from margin.gate.evidence import OVERALL, AboveDecoys, Leak, MeasuredMargin, Measurement, slice_name
from margin.run.files import make_folder, write_atomic
from margin.run.seal import read_sealed, sealed
from margin.stats.clusters import Clusters
from margin.study.sealed import broken_rule
from margin.text import json_text, shown

AGAIN = "write it again, margin baseline RUN"
"""What to do about a baseline that cannot be used."""
SEVEN_DIGITS = 1e-6
"""Relative error of a sum of influences, which are kept to seven digits."""


def write_baseline(measurement: Measurement, path: Path) -> None:
    """Write a measurement as a baseline, atomically; UnwritableError where that is not possible."""
    record = sealed(to_record(measurement).model_dump(exclude_unset=True))
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
        if margin.column is not None and not margin.name.startswith(slice_name(margin.column, "")):
            return f"margin {shown(margin.name)} is no slice by {shown(margin.column)}"
        # Weights of prompts are shares: to give all a little more changes nothing.
        if abs(influence.sum()) > SEVEN_DIGITS * np.abs(influence).sum():
            return f"the influences of margin {shown(margin.name)} do not balance"
    decoys, clustered = found.above_decoys, found.clusters is not None
    if found.clusters is not None and not _are_clusters(found.clusters.code, n):
        return f"its clusters are not those of its {n} prompts"
    counted = [] if decoys is None else [decoys.n_clusters is not None]
    counted += [margin.n_clusters is not None for margin in found.margins]
    counted += [each is not None for leak in found.leaks for each in (leak.clusters, leak.trials)]
    if (found.cluster is not None) != clustered or any(each != clustered for each in counted):
        return "some of it is over clusters, and some is not"
    if found.clusters is not None and found.overall.n_clusters != len(found.clusters):
        return "its first margin is not that of all its clusters"
    if decoys is not None and decoys.n_prompts > n:
        return f"decoys were asked of more than its {n} prompts"
    if any(margin.n_units > margin.n_prompts for margin in found.margins):
        return "a margin has more clusters than prompts"
    for leak in found.leaks:
        if leak.n_trials > leak.n_prompts or (leak.clusters or 0) > leak.n_prompts:
            return f"prompts under {shown(leak.condition)} count for more than they are"
        if leak.n_leaks > leak.n_prompts:
            return f"more prompts leak under {shown(leak.condition)} than there are"
    return None


def _are_clusters(code: np.ndarray, n: int) -> bool:
    """Whether these number the clusters of n prompts, two or more, without a gap."""
    return len(code) == n and len(np.unique(code)) == code.max(initial=0) + 1 >= 2


def to_record(measurement: Measurement) -> BaselineRecord:
    """A measurement as a baseline holds it."""
    decoys, clusters = measurement.above_decoys, measurement.clusters
    # What is unknown is left out, so that a baseline without it reads as it always did.
    extra: dict[str, Any] = {}
    if decoys is not None:
        extra["above_decoys"] = AboveDecoysRecord(**_known(decoys))
    if clusters is not None:
        extra |= {"cluster": measurement.cluster, "clusters": clusters.code.tolist()}
    return BaselineRecord(
        format=FORMAT,
        space=measurement.space,
        distance=measurement.distance,
        noise_floor=measurement.noise_floor,
        leaks=[LeakRecord(**_known(leak)) for leak in measurement.leaks],
        margins=[
            MarginRecord(**{**_known(margin), "influence": margin.influence.tolist()})
            for margin in measurement.margins
        ],
        prompt_ids=list(measurement.prompt_ids),
        provenance=measurement.provenance,
        **extra,
    )


OPTIONAL = ("clusters", "trials", "n_clusters")
"""Fields of leaks and margins that are left out where they are not known."""


def _known(part: Leak | MeasuredMargin | AboveDecoys) -> dict[str, Any]:
    return {key: value for key, value in asdict(part).items() if key not in OPTIONAL or value is not None}


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
        above_decoys=None if record.above_decoys is None else AboveDecoys(**dict(record.above_decoys)),
        cluster=record.cluster,
        clusters=None if record.clusters is None else Clusters(np.array(record.clusters, dtype=np.intp)),
    )
