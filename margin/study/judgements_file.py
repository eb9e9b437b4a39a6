"""Judgements on disk, beside the run that was judged."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from margin.errors import IncomparableError, MarginError, foreign
from margin.run.files import write_atomic
from margin.run.fingerprints import mode_of_token
from margin.run.run import Run
from margin.run.seal import SEAL, checksum, strict_json
from margin.run.stored import Record
from margin.study.judgements import AUDIT, Judgements
from margin.study.sealed import StrictRecord

FORMAT: Literal["margin-judgements/2"] = "margin-judgements/2"

NAME = "judgements.parquet"


class Header(StrictRecord):
    """What stands beside the table in a file of judgements, with a checksum of both."""

    format: Literal["margin-judgements/2"]
    run: str
    """Digest of the run that was judged."""
    judge: str
    expected: dict[str, Any]
    """As `Judgements.expected`, which refuses what is no label."""


def write_judgements(judgements: Judgements, run: Run) -> Path:
    """Put judgements into the run's folder, atomically and sealed; no answer's text is copied.

    MarginError where a label or the judge's name may be a live token: both are shown in reports.
    """
    table = judgements.table
    said = [*table["label"], *(table[AUDIT].dropna() if AUDIT in table else ())]
    texts = dict.fromkeys((*said, *judgements.expected.values(), judgements.judge))
    for text in texts:
        if mode := mode_of_token(run.manifest, text) or mode_of_token(run.manifest, Path(text).stem):
            what = "the judge's name" if text == judgements.judge else "a label"
            raise MarginError(f"{what} is the token of mode {mode!r}, or looks like it: call it otherwise")
    header = Header(
        format=FORMAT, run=_digest(run), judge=judgements.judge, expected=dict(judgements.expected)
    ).model_dump()
    table = pa.Table.from_pandas(judgements.table, preserve_index=False).replace_schema_metadata()
    header[SEAL] = _seal(header, table)
    # Not what pandas says about itself, too: nothing is read back that was not sealed.
    table = table.replace_schema_metadata({b"margin": json.dumps(header).encode()})
    data = io.BytesIO()
    pq.write_table(table, data)
    write_atomic(run.path / NAME, data.getvalue())
    return run.path / NAME


def read_judgements(run: Run) -> Judgements | None:
    """The judgements in the run's folder, or None.

    Raises
    ------
    MarginError : a file that is none, is of an earlier version, or was changed since it was written.
    IncomparableError : judgements of another run.
    """
    path, again = run.path / NAME, "run margin judge again"
    if not path.exists():
        return None
    with foreign(f"{path} is damaged or no file of judgements, {again}"):
        table = pq.read_table(pa.BufferReader(path.read_bytes()))
        text = (table.schema.metadata or {}).get(b"margin", b"").decode()
        table = table.replace_schema_metadata()
    header = strict_json(text, f"{path} is damaged or no file of judgements: {again}")
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise MarginError(f"{path} is no file of judgements of this version: {again}")
    seal = header.pop(SEAL, None)
    with foreign(f"{path} is damaged, {again}"):
        found = _seal(header, table)
    if seal != found:
        raise MarginError(f"{path} is damaged or was edited, it is not as it was written: {again}")
    try:
        said = Header.model_validate(header)
    except ValidationError:
        raise MarginError(f"{path} does not say who judged, and what was expected: {again}") from None
    if said.run != _digest(run):
        raise IncomparableError(f"{path} holds judgements of another run: {again}")
    with foreign(f"{path} is no file of judgements, {again}"):
        frame = table.to_pandas()
    return Judgements(said.judge, frame, said.expected)


def _seal(header: Record, table: pa.Table) -> str:
    """Checksum of all that judgements say: the header, and of the table every column, its kind and values."""
    columns = {name: [str(table[name].type), table[name].to_pylist()] for name in table.column_names}
    return checksum([header, columns])


def _digest(run: Run) -> str:
    """SHA-256 of all that decides the run's numbers, and of its answers where it has some."""
    answers = run.manifest.files.get("answers.parquet")
    return hashlib.sha256(
        json.dumps([run.manifest.identity.to_dict(), answers], sort_keys=True).encode()
    ).hexdigest()
