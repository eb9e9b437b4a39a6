"""Logs of Inspect: one JSON object, or a .eval file, which is an archive with one JSON file a sample."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Any
from zipfile import ZipFile, ZipInfo

import pyarrow as pa

from margin.errors import MarginError, foreign
from margin.inputs.logs.entry import CONDITIONS, IDS, Entry, Log, asked, draw_of, mapping, of, sequence
from margin.inputs.reading import parse_json
from margin.text import brief

TOOL = "Inspect"
ARCHIVE = b"PK"
"""What a .eval file begins with."""
HEADERS = ("header.json", "_journal/start.json")
"""Where an archive says what was evaluated; the second alone where the evaluation did not end."""
SAMPLES = "samples/"
ZSTANDARD = 93
"""The compression of newer logs, which the standard library has since Python 3.14 only."""
_LOCAL_HEADER = struct.Struct("<26xHH")
"""Lengths of name and extra field in what stands before a file of an archive."""


def is_log(record: Mapping[str, Any]) -> bool:
    """Whether a JSON object is a log of Inspect."""
    spec = record.get("eval")
    return isinstance(spec, Mapping) and "task" in spec


def read_object(record: Mapping[str, Any], name: str) -> Log:
    """The log in one JSON object. MarginError where samples are no objects, or scores none."""
    samples = sequence(record.get("samples"), name, "samples")
    given = _given(record, name)
    return Log(TOOL, tuple(_entry(one, given, f"{name} sample {i}") for i, one in enumerate(samples, 1)))


def read_archive(data: bytes, name: str) -> Log:
    """The log in an archive. MarginError where it is damaged, or holds no log of Inspect."""
    with foreign(f"{name} is no archive that can be read"):
        archive = ZipFile(io.BytesIO(data))
        members = dict(archive.NameToInfo)  # of a name that stands twice the last, as Inspect has it
    header = next((one for one in HEADERS if one in members), None)
    if header is None:
        raise MarginError(f"{name} is an archive, and no log of Inspect: it holds no header.json")
    record = _json(archive, data, members[header], name)
    if not is_log(record):
        raise MarginError(f"{name} is no log of Inspect: its {header} names no task")
    given = _given(record, name)
    found = [one for path, one in members.items() if path.startswith(SAMPLES) and path.endswith(".json")]
    return Log(
        TOOL,
        tuple(
            _entry(_json(archive, data, one, name), given, f"{name} {brief(one.filename)}") for one in found
        ),
    )


def _given(record: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """The condition that a whole log is of, where its task was given one."""
    spec = mapping(record.get("eval"), name, "eval")
    known = [mapping(spec.get(part), name, part) for part in ("task_args", "metadata")]
    return of([*known, mapping(record.get("metadata"), name, "metadata")], CONDITIONS)


def _entry(sample: Any, given: tuple[str, ...], place: str) -> Entry:
    if not isinstance(sample, Mapping) or "id" not in sample:
        raise MarginError(f"{place} is no sample: it has no id")
    metadata = mapping(sample.get("metadata"), place, "metadata")
    attached = mapping(sample.get("attachments"), place, "attachments")
    scores = mapping(sample.get("scores") or {}, place, "scores")  # of one log a sample without is null
    output = mapping(sample.get("output"), place, "output")
    answer = output.get("completion")
    return Entry(
        place=place,
        ids=of([metadata], ("prompt_id",)) + of([sample], IDS),
        texts=tuple(
            str(attached.get(text.removeprefix("attachment://"), text)) for text in asked(sample.get("input"))
        ),
        conditions=of([metadata], CONDITIONS) + given,
        scores=dict(_values(scores, place)),
        answer=answer if isinstance(answer, str) else None,
        draw=draw_of([metadata]),
    )


def _values(scores: Mapping[str, Any], place: str) -> Iterator[tuple[str, object]]:
    """Values of scores by the scorer's name; where a scorer gives several, each as scorer.value."""
    for name, score in scores.items():
        value = mapping(score, place, f"score {brief(name)}").get("value")
        if isinstance(value, Mapping):
            yield from ((f"{name}.{part}", one) for part, one in value.items())
        else:
            yield name, value


def _json(archive: ZipFile, data: bytes, member: ZipInfo, name: str) -> Mapping[str, Any]:
    place = f"{name} {brief(member.filename)}"
    with foreign(f"{place} is damaged"):
        raw = _inflated(data, member) if member.compress_type == ZSTANDARD else archive.read(member)
        text = raw.decode()
    record = parse_json(text, place)
    if not isinstance(record, dict):
        raise MarginError(f"{place} is no JSON object")
    return record


def _inflated(data: bytes, member: ZipInfo) -> bytes:
    """What a member holds that is compressed by Zstandard. ValueError where it is not as it was written."""
    name, extra = _LOCAL_HEADER.unpack_from(data, member.header_offset)
    start = member.header_offset + _LOCAL_HEADER.size + name + extra
    packed = pa.BufferReader(data[start : start + member.compress_size])
    raw: bytes = pa.CompressedInputStream(packed, "zstd").read()
    if zlib.crc32(raw) != member.CRC:
        raise ValueError("its checksum is another")
    return raw
