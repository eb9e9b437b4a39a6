"""Which records a report can be written as, and writing them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from margin.report.exports import every_eval_ever, inspect_log, model_index
from margin.report.report import Report
from margin.run.files import make_folder, write_atomic

RECORDS: Mapping[str, tuple[str, Callable[[Report], str]]] = {
    "inspect": (inspect_log.NAME, inspect_log.to_inspect),
    "every-eval-ever": (every_eval_ever.NAME, every_eval_ever.to_every_eval_ever),
    "model-index": (model_index.NAME, model_index.to_model_index),
}
"""By the option that asks for it: name of the file, and what makes its text."""


def write_records(report: Report, kinds: Iterable[str], out: Path) -> list[Path]:
    """Write a report as some of `RECORDS` into a folder, each atomically; the paths. UnwritableError."""
    make_folder(out)
    written = []
    for kind in kinds:
        name, made = RECORDS[kind]
        write_atomic(out / name, made(report).encode())
        written.append(out / name)
    return written
