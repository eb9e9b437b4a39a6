"""The manifest: what a run was made from, with what, and the checksums that tell whether it is whole."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from margin.errors import IncomparableError, MarginError
from margin.run.files import write_atomic

FORMAT = "margin-run/1"
NAME = "manifest.json"

Record = dict[str, Any]


@dataclass(frozen=True)
class Manifest:
    """Provenance of a run. Everything in `identity` must be equal for a run to be resumed."""

    identity: Record
    """What decides the numbers: checkpoint, digests, dtype, chat, modes (names and 16-bit fingerprints),
    prompts, layers, conditions, seed."""
    environment: Record
    """Library versions, platform and device."""
    tail: str
    """The rendered end of every row: what the model reads last before its first response token."""
    counts: dict[str, int]
    """Numbers of prompts, modes, conditions, rows, shards; width of the state; size of the vocabulary."""
    batching: Record = field(default_factory=dict)
    """How rows were batched, and why: prefix reuse, padding, token budget."""
    head: Record = field(default_factory=dict)
    """How the head makes logits of a state: scale, and soft-cap or None."""
    throughput: Record = field(default_factory=dict)
    """rows, seconds, rows_per_s, tokens, padding_share of the capture loop; empty until the run is whole."""
    noise_floor: Record | None = None
    """Spread of the margin over numerically equivalent ways to compute it; None where it was not measured."""
    files: dict[str, str] = field(default_factory=dict)
    """SHA-256 of every file of the run, by path relative to it; empty until the run is whole."""
    format: str = FORMAT

    @property
    def complete(self) -> bool:
        """Whether collecting came to its end."""
        return bool(self.files)

    @property
    def layers(self) -> list[int]:
        """Layers whose states are stored: 0 is the embeddings' output, L the output of block L."""
        return list(self.identity["layers"])

    def to_dict(self) -> Record:
        """Plain record, as manifest.json stores it."""
        return asdict(self)

    def write(self, run: Path) -> None:
        """Put the manifest into the run's folder, atomically."""
        text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False)
        write_atomic(run / NAME, (text + "\n").encode())

    def require_same(self, other: Manifest, run: Path) -> None:
        """Raise IncomparableError, naming each difference, unless `other` identifies the same run."""
        found = differences(self.identity, other.identity)
        if found:
            raise IncomparableError(
                f"{run} was made with something else: {'; '.join(found)}. "
                "Repeat the command it was made with, or choose another folder"
            )


def read_manifest(run: Path) -> Manifest:
    """Read a run's manifest; MarginError where the folder is no run or of another format."""
    path = run / NAME
    if not path.is_file():
        raise MarginError(f"{run} is no run: it has no {NAME}")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise MarginError(f"{path} is damaged: it is not JSON ({error})") from error
    found = record.get("format") if isinstance(record, dict) else None
    if found != FORMAT:
        raise MarginError(f"{path} has format {found!r}, this version reads {FORMAT!r}")
    try:
        return Manifest(**record)
    except TypeError as error:
        raise MarginError(f"{path} is damaged: {error}") from error


def differences(old: Record, new: Record, prefix: str = "") -> list[str]:
    """Each entry that differs between two identities, as "name: OLD there, NEW here"."""
    found = []
    for key in {**old, **new}:
        was, now = old.get(key), new.get(key)
        if isinstance(was, dict) and isinstance(now, dict):
            found += differences(was, now, f"{prefix}{key}.")
        elif was != now:
            found.append(f"{prefix}{key}: {_short(was)} there, {_short(now)} here")
    return found


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:28]}...{text[-28:]}"
