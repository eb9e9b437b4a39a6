"""probe.json beside a run (format margin-probe/1): what `margin probe` found, for the report to show."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

from margin.errors import MarginError
from margin.run.files import write_atomic
from margin.run.run import Run
from margin.run.seal import read_sealed, sealed
from margin.study.probing import Probing
from margin.text import json_text

FORMAT = "margin-probe/1"
NAME = "probe.json"

Record = dict[str, Any]


def probe_record(found: Probing, run: Run) -> Record:
    """What probe.json holds: format, version of this program, digest of the run, and the findings."""
    return {
        "format": FORMAT,
        "version": version("safety-margin"),
        "run": run.manifest.digest,
        **found.to_dict(),
    }


def write_probes(found: Probing, run: Run) -> Path:
    """Write RUN/probe.json, atomically, with a checksum of its own; the path. OSError where it cannot be.

    The run's manifest does not list it: a run stays what was collected.
    """
    record = probe_record(found, run)
    path = run.path / NAME
    text = json_text(sealed(record), indent=1, allow_nan=False)
    write_atomic(path, f"{text}\n".encode())
    return path


def read_probes(run: Run) -> Record | None:
    """What RUN/probe.json holds; None where there is none, or none that belongs to this run.

    It does not belong where it was changed, is of another format, or was made from other states: the run was
    collected anew, or the file copied from elsewhere.
    """
    path = run.path / NAME
    if not path.is_file():
        return None
    try:
        record = read_sealed(path, "probe", FORMAT, f"run margin probe {run.path} again")
    except MarginError:
        return None
    return record if record.get("run") == run.manifest.digest else None
