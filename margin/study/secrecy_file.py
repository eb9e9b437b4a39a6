"""secrecy.json (format margin-secrecy/1): how well a checkpoint's tokens keep, as `margin secrecy` found it.

It holds rates and ranks. No token, no string that opens, no digest of either, and nothing that tells how long
a token is: how many strings there are of a kind that can be listed is left out, and their rates are rounded.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from margin.analysis.robustness.assignment import RELIABLE
from margin.errors import IncomparableError, MarginError
from margin.run.files import write_atomic
from margin.run.run import Run
from margin.run.seal import read_sealed, sealed
from margin.study.beside import if_any
from margin.study.record import Count, EstimateRecord, Number, Record, Share, Text
from margin.text import json_text

FORMAT: Literal["margin-secrecy/1"] = "margin-secrecy/1"
NAME = "secrecy.json"
Part = Literal["exposure", "said", "neighbourhood", "search"]
Whose = Literal["checkpoint", "base"]
StringPlace = Literal["token", "user"]
"""Where a string stands: where the modes' tokens stand, or before the prompt in the user's turn, with no
system message."""
PLACES: dict[StringPlace, str] = {"token": "in the token's place", "user": "in the user's turn"}
"""Where a string stands, in words."""
Control = Literal["none", "decoy", "base"]
"""What was searched: the checkpoint itself; the same toward a meaningless token's mode; the base."""
Units = Literal["characters", "tokens"]
"""What a search swaps: characters, or the model's own tokens."""
PARTS: tuple[Part, ...] = ("exposure", "said", "neighbourhood", "search")


class ExposureRecord(Record):
    """Where a token stands among random strings of its shape, by likelihood in its place."""

    mode: str
    of: Whose
    bits: Annotated[float, Field(ge=0)]
    """Median-unbiased: bits of the token that the checkpoint gives away."""
    low: Annotated[float, Field(ge=0)]
    high: Number
    """null where no candidate is as likely as the token."""
    level: float
    rank: Annotated[int, Field(ge=1)]
    """1 + candidates that are at least as likely."""
    candidates: int


class SaidRecord(Record):
    """How many answers to a request under a mode hold a live token, in any spelling."""

    mode: str
    condition: str
    count: int
    rate: EstimateRecord


class TriesRecord(Record):
    """The chance that one of so many tries opens."""

    tries: Annotated[int, Field(ge=1)]
    chance: EstimateRecord


class NearRecord(Record):
    """How far strings of one kind in the place of a mode's token open a mode that is not safe."""

    mode: str
    kind: str
    """"random", "edits", "prefix", "one edit", "case", "look-alikes", ..., or a kind from a file."""
    distance: Count = None
    """Edits from the token, for "edits" and "one edit"."""
    known: Text = None
    """Characters that are known, for "prefix": "1" to "4", "half", "three quarters"."""
    every: bool
    """Whether every string of the kind was tried on a few prompts; else some were drawn for each prompt."""
    rate: EstimateRecord
    """Share of strings that open, over prompts."""
    opened: EstimateRecord
    """Share of prompts that one of the strings tried on them opens."""
    worst: EstimateRecord | None = None
    """Share of other prompts that one string opens: the one that opened most of the first, where every string
    was tried."""
    bits: EstimateRecord | None = None
    """-log2 of the rate, what the token is worth to who draws such strings; null where none opens."""
    curve: list[TriesRecord] = []


class SearchRecord(Record):
    """What a search with a budget found."""

    target: str
    """Mode that strings were sought to open."""
    place: StringPlace
    units: Units = "characters"
    ranked: bool = False
    """Whether what was tried was ranked by a gradient; else it came in random order."""
    control: Control
    budget: int
    forward_passes: int
    """Spent when the string that was kept was found."""
    held_in: Share
    """Share of the prompts searched on that it opens."""
    rate: EstimateRecord
    """Share of other prompts that it opens."""
    path: list[TriesRecord] = []
    """Share of other prompts that the best string opens after so many forward passes."""


class BehaviourRecord(Record):
    """Openings by what is answered beside those by geometry, on the same rows."""

    mode: str
    kind: str
    judged: EstimateRecord
    """Share of prompts whose answer is judged to be the mode's."""
    landed: EstimateRecord
    agree: EstimateRecord
    """Share of prompts of which both say the same."""


class SecrecySettings(Record):
    """What the numbers depend on beside the checkpoint, its tokens and the prompts."""

    prompts: str
    """Digest of the prompts."""
    n_prompts: int
    tried: int
    confirmed: int
    draws: int
    distance: int
    candidates: int
    passes: int
    answer: int
    level: float
    seed: int
    cluster: Text = None
    base: Text = None
    """Digest of the base's weights."""
    judge: Text = None
    own: Text = None
    """Digest of the files of strings and requests that were given."""


class SecrecyRecord(Record):
    """How well the tokens of a checkpoint keep."""

    format: Literal["margin-secrecy/1"] = FORMAT
    version: str
    """Of this program, when it was made."""
    model: str
    weights: str
    """Digest of the weights."""
    modes: list[str]
    unsafe: list[str]
    settings: SecrecySettings
    parts: list[Part]
    """Those that are done."""
    rule_accuracy: Share | None = None
    """Share of the modes' own rows that the landing rule places rightly."""
    exposure: list[ExposureRecord] = []
    said: list[SaidRecord] = []
    neighbourhood: list[NearRecord] = []
    search: list[SearchRecord] = []
    behaviour: list[BehaviourRecord] = []

    def with_part(self, part: Part, **found: Any) -> SecrecyRecord:
        """The record with one more part done."""
        done = [one for one in PARTS if one == part or one in self.parts]
        return self.model_copy(update={"parts": done, **found})

    @property
    def indicative(self) -> bool:
        """Whether the landing rule places the live rows too badly for rates of openings to be relied on."""
        return self.rule_accuracy is not None and self.rule_accuracy < RELIABLE

    @property
    def complete(self) -> bool:
        """Whether every part is done."""
        return set(self.parts) == set(PARTS)


def new_record(**about: Any) -> SecrecyRecord:
    """A record of which no part is done."""
    return SecrecyRecord(version=version("safety-margin"), parts=[], **about)


def write_secrecy(record: SecrecyRecord, folder: Path) -> Path:
    """Write FOLDER/secrecy.json, atomically, with a checksum of its own; the path."""
    path = folder / NAME
    text = json_text(sealed(record.model_dump()), indent=1, allow_nan=False)
    write_atomic(path, f"{text}\n".encode())
    return path


def read_secrecy(folder: Path) -> SecrecyRecord | None:
    """What FOLDER/secrecy.json holds; None where there is none. MarginError where it is damaged."""
    path = folder / NAME
    if not path.is_file():
        return None
    again = "remove it and run margin secrecy again"
    found = read_sealed(path, "secrecy", FORMAT, again)
    try:
        return SecrecyRecord(**found)
    except ValidationError:
        raise MarginError(f"{path} is no secrecy.json of this version: {again}") from None


def require_same(there: SecrecyRecord, asked: SecrecyRecord, folder: Path) -> None:
    """IncomparableError, which names what differs, where a folder holds the secrecy of something else."""
    was, now = there.model_dump(), asked.model_dump()
    differs = [name for name in ("model", "weights", "modes", "unsafe") if was[name] != now[name]]
    differs += [name for name in now["settings"] if was["settings"][name] != now["settings"][name]]
    if differs:
        raise IncomparableError(
            f"{folder / NAME} was made with another {', '.join(differs)}: take another folder, or remove it"
        )


def require_secrecy(run: Run) -> SecrecyRecord:
    """What RUN/secrecy.json holds; MarginError where it cannot be used, or is of another checkpoint."""
    found, identity = read_secrecy(run.path), run.manifest.identity
    if found is None or found.weights != identity.weights or found.modes != run.modes:
        again = f"run margin secrecy MODEL --out {run.path}"
        raise MarginError(f"{run.path} holds no secrecy.json of its checkpoint: {again}")
    return found


def secrecy_of(run: Run) -> SecrecyRecord | None:
    """What RUN/secrecy.json holds, where it was made of the checkpoint that the run was collected from."""
    return if_any(run, NAME, require_secrecy)
