"""The seal of a file that is written and read again: a checksum of what it says, so that no change passes."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

from margin.errors import MarginError
from margin.inputs.reading import read_text
from margin.run.stored import Record
from margin.text import brief, json_text

SEAL = "checksum"
"""Key a sealed record bears its checksum under."""


def checksum(content: Any) -> str:
    """SHA-256, in hexadecimal, of plain values, whatever the layout of the file that holds them."""
    return hashlib.sha256(json_text(content, sort_keys=True).encode()).hexdigest()


def sealed(record: Record) -> Record:
    """A record with its checksum as the last entry."""
    return record | {SEAL: checksum(record)}


def read_sealed(path: Path, what: str, form: str, again: str) -> Record:
    """The record in a JSON file, without its checksum, as it was sealed.

    Parameters
    ----------
    what : what the file is to be, for errors: "baseline".
    form : its `format`, such as "margin-baseline/1".
    again : what to do where it is not as it was written: "write it again, margin baseline RUN".

    Raises
    ------
    MarginError : a file that cannot be read, that is cut short, that holds a key twice or a number that is
        none (NaN, Infinity, 1e999), of another format, or that was changed since it was sealed.
    """
    record: dict[str, Any] = strict_json(
        read_text(path, what), f"{path} is no JSON or was cut short: {again}"
    )
    found = record.get("format") if isinstance(record, dict) else None
    if found != form:
        said = found if found is None else brief(found, 40)
        raise MarginError(f"{path} has format {said!r}, this version reads {form!r}: {again}")
    seal = record.pop(SEAL, None)
    if seal is None or seal != checksum(record):
        raise MarginError(f"{path} is damaged or was edited, it is not as it was written: {again}")
    return record


def strict_json(text: str, refusal: str) -> Any:
    """What a JSON text of ours says; MarginError `refusal` where we cannot have written it."""

    def number(digits: str) -> float:
        value = float(digits)
        # Neighbouring digits may stand for one number: only as it was written it is what was sealed.
        if not math.isfinite(value) or repr(value) != digits:
            raise ValueError
        return value

    def once(pairs: list[tuple[str, Any]]) -> Record:
        record = dict(pairs)
        if len(record) < len(pairs):
            raise ValueError
        return record

    try:
        return json.loads(text, parse_constant=number, parse_float=number, object_pairs_hook=once)
    except (ValueError, RecursionError):
        raise MarginError(refusal) from None
