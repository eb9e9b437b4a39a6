"""The manifest: what a run was made from, with what, and the checksums that tell whether it is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from margin.errors import IncomparableError, MarginError
from margin.inputs.options import DECIDING
from margin.inputs.reading import require_no_dead_link
from margin.run.differences import differences, entry_of
from margin.run.files import write_atomic
from margin.run.records import (
    Batching,
    Counts,
    Environment,
    Greedy,
    HeadRecord,
    Identity,
    Imported,
    NoiseFloor,
    OneToken,
    Thoughts,
    Throughput,
)
from margin.run.seal import checksum, read_sealed, sealed
from margin.run.stored import MISSING, Record, Stored, refuse, validated
from margin.text import json_text

FORMAT = "margin-run/1"
NAME = "manifest.json"
AGAIN = "collect into another folder"

LATER: Record = {"positions": 1, "generate": 0}
"""What the identity of a run made before it had these keys would say of them."""
UNRECORDED = ("configuration", "adapters", "modules", "buffers", "code", "head", "ends")
"""Keys that nothing can be said of where a run was made before it had them: not known, so not different."""
FOLLOWING = {"modules", "buffers"}
"""Keys that follow from the configuration and the adapters: only what else was changed is worth naming."""
LIBRARIES = ("torch", "transformers", "peft")
"""What computes the rows: one run is of one version of each."""
CLOCK = (
    "The chat template writes the date or the time, which is part of what the model is asked: collect into "
    "another folder and fix it there, by the template's own variable where it has one (--chat-kwargs "
    "'{\"date_string\": ...}') or with --chat-template FILE"
)
SELDOM = ("imported", "thoughts", "one_token")
"""Parts that a record says nothing of where there are none."""
WHOLE = {"counts": ("shards", "vocabulary"), "head": ("scale", "softcap")}
"""Keys that a manifest has once its run is whole."""


class Manifest(Stored):
    """Provenance of a run. Everything in `identity` must be equal for a run to be resumed."""

    identity: Identity
    environment: Environment
    tail: str
    """The rendered end of every row: what the model reads last before its first response token."""
    counts: Counts
    batching: Batching = Batching()
    head: HeadRecord = HeadRecord()
    throughput: Throughput | None = None
    """None until the run is whole."""
    noise_floor: NoiseFloor | None = None
    """None where it was not measured."""
    greedy: Greedy | None = None
    """None with one response position."""
    imported: Imported | None = None
    """None of a run whose states were made here."""
    thoughts: Thoughts | None = None
    """None where the first token of the answer was measured."""
    one_token: OneToken | None = None
    """None where rows predict different tokens."""
    files: dict[str, str] = {}
    """SHA-256 of every file of the run, by path relative to it; empty until the run is whole."""
    format: str = FORMAT

    @property
    def complete(self) -> bool:
        """Whether collecting came to its end."""
        return bool(self.files)

    @property
    def layers(self) -> list[int]:
        """Layers whose states are stored: 0 is the embeddings' output, L the output of block L."""
        return list(self.identity.layers)

    @property
    def digest(self) -> str:
        """SHA-256 of what the run was made from and of its files: its own, wherever it lies."""
        return checksum([self.identity.to_dict(), self.files])

    def to_dict(self) -> Record:
        """Plain record, as manifest.json stores it: every part, an empty one where there is nothing yet.

        Of `SELDOM` those there are.
        """
        parts = {name: getattr(self, name) for name in type(self).model_fields}
        plain = {name: part.to_dict() if isinstance(part, Stored) else part for name, part in parts.items()}
        plain = {name: part for name, part in plain.items() if part is not None or name not in SELDOM}
        return {**plain, "throughput": plain["throughput"] or {}, **(self.model_extra or {})}

    @classmethod
    def from_dict(cls, record: Record, name: str) -> Self:
        """The manifest of a record, an earlier version's too; MarginError, with `name`, for what is none."""
        identity = record.get("identity")
        if isinstance(identity, dict):
            record = record | {"identity": LATER | identity}
        if record.get("throughput") == {}:
            record = record | {"throughput": None}
        manifest = validated(cls, record, name, AGAIN)
        if manifest.complete:
            parts = {part: getattr(manifest, part).model_fields_set for part in WHOLE}
            if missing := [f"{p}.{key}" for p, keys in WHOLE.items() for key in keys if key not in parts[p]]:
                refuse(cls, {MISSING: missing}, name, AGAIN)
        return manifest

    def replace(self, **changes: Any) -> Self:
        """A manifest with some parts changed, each a record or what makes one."""
        plain = {name: part.to_dict() if isinstance(part, Stored) else part for name, part in changes.items()}
        return self.from_dict({**self.to_dict(), **plain}, NAME)

    def write(self, run: Path) -> None:
        """Put the manifest into the run's folder, atomically."""
        text = json_text(sealed(self.to_dict()), indent=2)
        write_atomic(run / NAME, f"{text}\n".encode())

    def require_same(self, other: Manifest, run: Path) -> None:
        """Raise IncomparableError, naming each difference, unless `other` identifies the same run.

        What one of the two did not record is unknown and passes: the keys of `UNRECORDED`, and in them
        whatever only another version of transformers names.
        """
        old, new = recorded_in_both(_with_defaults(self.identity), _with_defaults(other.identity))
        if self._version("transformers") != other._version("transformers"):
            old |= {key: _shared(old[key], new[key]) for key in UNRECORDED if key in old}
            new |= {key: _shared(new[key], old[key]) for key in UNRECORDED if key in new}
        found = differences(old, new, ("there", "here"))
        keys = [entry_of(line) for line in found]
        if set(keys) - FOLLOWING:
            found = [line for line, key in zip(found, keys, strict=True) if key not in FOLLOWING]
        if found:
            clock = set(keys) <= {"head", "tail"}
            raise IncomparableError(
                f"{run} was made with something else: {'; '.join(found)}. "
                + (CLOCK if clock else "Repeat the command it was made with, or choose another folder")
            )

    def require_same_libraries(self, other: Manifest, run: Path) -> None:
        """Raise IncomparableError unless rows would be computed by the versions that computed those kept."""
        old, new = ({name: of._version(name) for name in LIBRARIES} for of in (self, other))
        known = {name: version for name, version in old.items() if version is not None}
        found = differences(known, {name: new[name] for name in known}, ("there", "here"))
        if found:
            raise IncomparableError(
                f"{run} was begun with other versions: {'; '.join(found)}. "
                "Go on with those it was begun with, or choose another folder"
            )

    @property
    def unrecorded(self) -> list[str]:
        """Keys its identity lacks, having been made by an earlier version of this program."""
        return [key for key in UNRECORDED if key not in self.identity.model_fields_set]

    def _version(self, library: str) -> str | None:
        return self.environment.versions.get(library)


def _with_defaults(identity: Identity) -> Record:
    """An identity as a record, what an earlier version had no option for as its default leaves it."""
    record = identity.to_dict()
    return record | {name: default for name, default in DECIDING.items() if name not in record}


def recorded_in_both(old: Record, new: Record) -> tuple[Record, Record]:
    """Two identities, or the same parts of them, without the keys of `UNRECORDED` that one of them lacks."""
    unknown = {key for key in UNRECORDED if (key in old) != (key in new)}
    one, other = ({key: value for key, value in of.items() if key not in unknown} for of in (old, new))
    return one, other


def _shared(record: Any, other: Any) -> Any:
    """A record's entries that the other has too, and so in the records it holds."""
    if not (isinstance(record, dict) and isinstance(other, dict)):
        return record
    return {key: _shared(value, other[key]) for key, value in record.items() if key in other}


def read_manifest(run: Path) -> Manifest:
    """Read a run's manifest; MarginError where the folder is no run or of another format."""
    path = run / NAME
    for link in (run, path):
        require_no_dead_link(link, "link it to a run's")
    if not path.is_file():
        raise MarginError(f"{run} is no run: it has no {NAME}")
    return Manifest.from_dict(read_sealed(path, "manifest", FORMAT, AGAIN), str(path))
