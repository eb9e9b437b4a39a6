"""What report.json holds: the keys of every section."""

from __future__ import annotations

from typing import Any

from pydantic import create_model

from margin.study.record import Record
from margin.study.sections import SECTIONS

FORMAT = "margin-report/1"


def record_type() -> type[Record]:
    """The type of report.json."""
    fields: dict[str, Any] = {}
    for kind in SECTIONS:
        for name, field in kind.keys.model_fields.items():
            fields[name] = (field.annotation, field)
    return create_model("Report", __base__=Record, **fields)
