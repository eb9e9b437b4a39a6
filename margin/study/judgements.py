"""What a judge said of the rows of a run, and how that is kept beside it."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from margin.analysis.behaviour.refusal import match_refusals
from margin.errors import IncomparableError, MarginError, foreign
from margin.run.files import write_atomic
from margin.run.fingerprints import mode_of_token
from margin.run.run import Run
from margin.run.seal import SEAL, checksum, strict_json
from margin.run.stored import Record
from margin.study.sealed import StrictRecord
from margin.text import shown

FORMAT: Literal["margin-judgements/2"] = "margin-judgements/2"
NAME = "judgements.parquet"
SCORES: Mapping[str, tuple[float, float]] = {
    "constructive": (0, 2),
    "helpfulness": (0, 1),
    "safety": (-1, 1),
}
"""Scores a judge may give beside a label, and the range of each; constructive takes whole numbers."""
AUDIT = "audit"
"""Column of what a person calls the rows that were drawn for it, None elsewhere; see `margin.study.audit`."""
LONGEST = 64
"""Characters of a label: whatever is longer is text, which judgements do not hold."""
LABELS = f"a label has 1 to {LONGEST} characters, all seen, on one line"
MOST = 50
"""Different labels that judgements may hold."""
REFUSAL, ANSWER, EMPTY = "refusal", "answer", "empty"
"""What the refusal matcher calls an answer; an empty one is given to no judge."""

Judge = Callable[[Sequence[str]], Sequence[str]]
"""Whatever gives each of N texts one label."""


@dataclass(frozen=True, eq=False)
class Judgements:
    """Labels of the rows of one run."""

    judge: str
    """Who judged: "refusal", the name of a labels file, or a model."""
    table: pd.DataFrame
    """One line a judged row: row (place in the run), label; where known also family (of phrases the matcher
    found), the scores constructive (0, 1, 2), helpfulness (0 to 1), safety (-1 to 1), and `AUDIT`."""
    expected: Mapping[str, str] = field(default_factory=dict)
    """Label that answers under each mode should bear, for the modes where that is known."""

    def __post_init__(self) -> None:
        """MarginError for a row that stands twice, a label that is none, a score out of its range."""
        who, table = f"judge {self.judge}", self.table
        if not {"row", "label"} <= set(table) or not pd.api.types.is_integer_dtype(table["row"]):
            raise MarginError(f"{who} gives no table of rows and labels")
        if table["row"].duplicated().any():
            raise MarginError(f"{who} labels row {table['row'][table['row'].duplicated()].iloc[0]} twice")
        audited = table[AUDIT].dropna() if AUDIT in table else ()
        for label in (*table["label"], *audited, *self.expected.values()):
            if not isinstance(label, str) or not label:
                raise MarginError(
                    f"{who} gives a label that is no text, {shown(label)[:40]!r}: a label is a word or two"
                )
            if not is_label(label):
                raise MarginError(f"{who} gives a label that is none: {LABELS}")
        if (different := table["label"].nunique()) > MOST:
            raise MarginError(f"{who} gives {different} different labels: use at most {MOST}")
        for name in set(SCORES) & set(table):
            require_in_range(table[name], name, who)


def is_label(text: str) -> bool:
    """Whether a text is short and plain enough for a label, which reports show."""
    return bool(text) and len(text) <= LONGEST and text.isprintable()


class Header(StrictRecord):
    """What stands beside the table in a file of judgements, with a checksum of both."""

    format: Literal["margin-judgements/2"]
    run: str
    """Digest of the run that was judged."""
    judge: str
    expected: dict[str, Any]
    """As `Judgements.expected`, which refuses what is no label."""


def require_in_range(scores: pd.Series, name: str, who: str) -> None:
    """MarginError where one of the scores of a kind is none; `who` says whose they are."""
    low, high = SCORES[name]
    wrong = ~pd.to_numeric(scores, errors="coerce").between(low, high)
    if name == "constructive":
        wrong |= pd.to_numeric(scores, errors="coerce") % 1 != 0
    if wrong.any():
        found = shown(scores[wrong].iloc[0])[:40]
        raise MarginError(f"{who}: {name} must be a number, {range_in_words(name)}, not {found}")


def range_in_words(name: str) -> str:
    """Which numbers a score of a kind may be."""
    low, high = SCORES[name]
    return "0, 1 or 2" if name == "constructive" else f"from {low} to {high}"


def judge_answers(run: Run, judge: Judge, name: str) -> Judgements:
    """Give the answers of a run to a judge of texts; empty ones are labelled "empty" without it.

    Raises
    ------
    MarginError : the run holds no answers, or the judge gives another number of labels.
    """
    answers = run.answers
    said = answers["answer"].str.strip() != ""
    texts = answers["answer"][said].tolist()
    given = judge(texts)
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        raise MarginError(f"judge {name} gave a {type(given).__name__}: a list of labels is needed")
    found = list(given)
    if len(found) != len(texts):
        raise MarginError(
            f"judge {name} gave {len(found)} labels for {len(texts)} answers: one each is needed"
        )
    labels = np.full(len(answers), EMPTY, dtype=object)
    labels[said.to_numpy()] = found
    return Judgements(name, pd.DataFrame({"row": answers["row"], "label": labels}))


def judge_refusals(run: Run) -> Judgements:
    """The refusal matcher's judgement of a run's answers: "refusal" or "answer", and by what phrases."""
    families: list[str | None] = []

    def judge(texts: Sequence[str]) -> list[str]:
        found = match_refusals(texts)
        families.extend(found.family)
        return [REFUSAL if refused else ANSWER for refused in found.refused]

    judged = judge_answers(run, judge, REFUSAL)
    told = np.full(len(judged.table), None, dtype=object)
    told[(judged.table["label"] != EMPTY).to_numpy()] = families
    return Judgements(REFUSAL, judged.table.assign(family=told))


def expecting(
    judgements: Judgements,
    modes: Sequence[str],
    refusal_modes: Sequence[str] = (),
    given: Mapping[str, str] | None = None,
) -> Judgements:
    """The judgements with the label that answers under each mode should bear.

    As `given` says; else each mode's own name where labels are names of modes; else, where "refusal" is among
    the labels, that for the refusal modes (by default "rej" and "rej@..." ) and "answer" for the others.

    Raises
    ------
    MarginError : a mode that the run does not have.
    """
    given = dict(given or {})
    for name in (*refusal_modes, *given):
        if name not in modes:
            raise MarginError(f"no mode {name!r} in this run: it has {', '.join(modes)}")
    labels = set(judgements.table["label"])
    refusing = refusal_modes or [mode for mode in modes if mode.split("@")[0] == "rej"]
    expected = {}
    if labels - {EMPTY} <= set(modes):
        expected = {mode: mode for mode in modes}
    elif refusing and (judgements.judge == REFUSAL or REFUSAL in labels):
        expected = {mode: REFUSAL if mode in refusing else ANSWER for mode in modes}
    return Judgements(judgements.judge, judgements.table, expected | given)


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
