"""Put a report on disk: report.json, report.md, report.html."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

from margin.report.html import to_html
from margin.report.markdown import to_markdown
from margin.report.record import FORMAT, record_type
from margin.report.report import Report
from margin.run.files import make_folder, remove_partial, write_atomic
from margin.text import json_text


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema of report.json, generated from the types of the sections."""
    found = record_type().model_json_schema(mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **found,
        "title": FORMAT,
        "description": "Margins of one run, as `margin report` writes them.",
        "properties": {"format": {"const": FORMAT}, **found["properties"]},
        "required": ["format", *found["properties"]],
    }


def to_json(report: Report) -> str:
    """The report as JSON; what is not a number (NaN, infinity) becomes null."""
    return json_text(_plain(report.to_dict()), indent=2, allow_nan=False) + "\n"


def write_report(report: Report, out: Path, *, explore: bool = False) -> list[Path]:
    """Write report.json, report.md and report.html into `out`, each atomically; the paths written.

    The page draws the run's points, and with `explore` says which is which.

    Raises
    ------
    UnwritableError : the folder cannot be made, or a file of it not written.
    """
    contents = {
        "report.json": to_json(report),
        "report.md": to_markdown(report),
        "report.html": to_html(report, explore=explore),
    }
    make_folder(out)
    remove_partial(out)
    for name, text in contents.items():
        write_atomic(out / name, text.encode())
    return [out / name for name in contents]


def _plain(value: Any) -> Any:
    """The value with NumPy scalars as Python's own, and non-finite numbers as None."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
