"""A sample of a run's answers for a person to label, and the labelled file back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from margin.analysis.behaviour.allocation import LEAST, allocate
from margin.arguments import named, require_count, require_path
from margin.errors import MarginError
from margin.inputs.tables import whole
from margin.run.files import csv_bytes, write_atomic
from margin.run.fingerprints import mode_of_token, without_tokens
from margin.run.run import Run, opened
from margin.run.seal import checksum
from margin.short import Short
from margin.stats.seeds import generator
from margin.study.behaviour import judgements_of
from margin.study.correction import strata
from margin.study.judgements import AUDIT, Judgements, require_meant
from margin.study.labels import label_of, rows_meant
from margin.text import brief, json_text

__all__ = ["DrawnAudit", "draw_audit", "read_audit"]

NAME = "audit.csv"
"""Where in the run's folder a sample is put unless said otherwise."""
OWNER = 0o600
"""Who may read it: it holds prompts and answers."""
SUFFIXES = (".csv", ".jsonl", ".ndjson")
DRAWN = "drawn"
"""Column that says which of how many a line is, and by what labels it was drawn."""
_PLACE = re.compile(r"(\d{1,9}) of (\d{1,9}) \(([0-9a-f]{8})\)")


@dataclass(frozen=True, eq=False)
class DrawnAudit(Short):
    """A sample of a run's judged answers, written for a person to label."""

    path: Path
    """The file: drawn, row, prompt_id, condition, draw, prompt, answer, and an empty column label."""
    allocation: pd.DataFrame
    """One line a stratum: condition, label (the judge's, which the file does not show), answers, drawn."""


@named
def draw_audit(
    run: Run | str | Path, n: int = 100, *, out: str | Path | None = None, seed: int = 0
) -> DrawnAudit:
    """Draw answers of a run for a person to label, and write them into a file.

    By the judgements kept with the run, else the refusal matcher's. Strata are a condition and the judge's
    label: two answers of each, then conditions alike, and within a condition by the square root of the
    stratum's size. Lines are in random order and do not say what the judge said. Only the file's owner may
    read it; words that may be a live token are taken out.

    Parameters
    ----------
    n : answers to draw; all where there are fewer.
    out : a .csv or .jsonl file that is not there yet; `audit.csv` in the run's folder unless given.
    seed : of the draw.

    Raises
    ------
    MarginError : a run without answers; fewer than two answers a stratum; a file that is there already, for
        it may hold somebody's labels.

    Example
    -------
    >>> import margin
    >>> from margin.demo import checkpoint_path, modes_path, prompts_path
    >>> run = margin.collect(
    ...     checkpoint_path("cotrained"),
    ...     prompts=prompts_path(),
    ...     modes=modes_path(),
    ...     out="answered-run",
    ...     limit=8,
    ...     generate=12,
    ...     decoys=0,
    ...     quiet=True,
    ... )
    >>> drawn = margin.draw_audit(run, 12)
    >>> drawn.path.name, int(drawn.allocation["drawn"].sum())
    ('audit.csv', 12)
    """
    require_count(n, "n", 1)
    require_count(seed, "seed")
    if out is not None:
        require_path(out, "out")
    run = opened(run)
    answers, judged = run.answers, judgements_of(run)
    assert judged is not None  # there are answers, which the matcher judges
    out = run.path / NAME if out is None else Path(out)
    if out.suffix.lower() not in SUFFIXES:
        raise MarginError(f"unknown kind of file {out}: use .csv or .jsonl")
    if mode := mode_of_token(run.manifest, out.stem):
        raise MarginError(f"the name of the file is the token of mode {mode!r}, or looks like it")
    if out.exists():
        raise MarginError(f"{out} is there already, and may hold somebody's labels: write to another file")
    table = run.rows.merge(judged.table[["row", "label"]], on="row").merge(
        answers[["row", "answer"]], on="row"
    )
    allocation, rows = _drawn(table, n, seed)
    prompts = run.prompts.set_index("id")["prompt"]
    chosen = table.set_index("row").loc[rows]
    lines = pd.DataFrame(
        {
            DRAWN: [f"{place} of {len(rows)} ({_mark(judged)})" for place in range(1, len(rows) + 1)],
            "row": rows,
            **{name: chosen[name].to_numpy() for name in ("prompt_id", "condition", "draw")},
            "prompt": [without_tokens(run.manifest, text) for text in chosen["prompt_id"].map(prompts)],
            "answer": [without_tokens(run.manifest, text) for text in chosen["answer"]],
            "label": "",
        }
    )
    write_atomic(out, _bytes(lines, out), OWNER)
    return DrawnAudit(out, allocation)


def read_audit(path: Path, run: Run, judgements: Judgements) -> Judgements:
    """The judgements with what a person said of a sample of their rows, from a file that `draw_audit` wrote.

    A file of one's own is taken too: keys and labels as `read_labels` says, of rows drawn at random within
    each condition and label of the judge.

    Raises
    ------
    MarginError : what `read_labels` refuses; lines without a label, or missing of those that were drawn; a
        sample drawn by other labels than these; a row that was not judged; a label that is one of the judge's
        but for its case or a letter or two, or none that is one of them; fewer than two rows (or all) of a
        condition and label.
    """
    known = set(judgements.table["label"]) | set(judgements.expected.values())
    spelt = {label.casefold(): label for label in sorted(known)}
    judged = set(judgements.table["row"])
    labels: dict[int, str] = {}
    empty, drawn = [], []
    for place, row, record in rows_meant(path, run):
        if row not in judged:
            raise MarginError(f"{place}: row {row} was not judged: label rows of conditions that were")
        drawn.append(_place(record.get(DRAWN), place, judgements))
        if not str(whole(record.get("label")) if record.get("label") is not None else "").strip():
            empty.append(place)
            continue
        label = label_of(record, place)
        if label not in known and (meant := spelt.get(label.casefold())):
            raise MarginError(
                f"{place}: label {brief(label)!r} is {brief(meant)!r} with the judge: write it so"
            )
        require_meant(label, known, place)
        labels[row] = label
    if empty:
        raise MarginError(
            f"{path}: {len(empty)} of {len(drawn)} rows bear no label yet, the first is {empty[0]}: "
            f"label every row, in the judge's words ({', '.join(brief(one) for one in sorted(known))})"
        )
    _require_all_drawn(drawn, path)
    if labels and known.isdisjoint(labels.values()):
        raise MarginError(
            f"{path}: no label is one of the judge's ({', '.join(brief(one) for one in sorted(known))}): "
            "write these words, as the judge's errors are counted by them"
        )
    table = judgements.table.assign(**{AUDIT: judgements.table["row"].map(labels).astype(object)})
    table[AUDIT] = table[AUDIT].where(table[AUDIT].notna(), None)
    _require_every_stratum(run.rows.merge(table, on="row"), path)
    return replace(judgements, table=table)


def _drawn(table: pd.DataFrame, n: int, seed: int) -> tuple[pd.DataFrame, Sequence[int]]:
    """The strata with how many are drawn of each, and the rows, in random order."""
    stratum = strata(table).to_numpy()
    about = table.groupby(stratum)[["condition", "label"]].first()
    sizes = np.bincount(stratum)
    try:
        drawn = allocate(sizes, pd.factorize(about["condition"])[0].astype(np.intp), n)
    except ValueError:
        least = int(np.minimum(sizes, LEAST).sum())
        raise MarginError(
            f"{n} answers are too few: {len(sizes)} conditions and labels need {LEAST} each, "
            f"draw at least {least}"
        ) from None
    rng, rows = generator(seed, "audit"), table["row"].to_numpy()
    picked = [
        rng.choice(rows[stratum == one], size, replace=False) for one, size in enumerate(drawn.tolist())
    ]
    order: list[int] = rng.permutation(np.concatenate(picked)).tolist()
    return about.assign(answers=sizes, drawn=drawn).reset_index(drop=True), order


def _mark(judgements: Judgements) -> str:
    """What tells the labels a sample was drawn by from others."""
    table = judgements.table.sort_values("row")
    return checksum([table["row"].tolist(), table["label"].tolist()])[:8]


def _bytes(lines: pd.DataFrame, out: Path) -> bytes:
    if out.suffix.lower() == ".csv":
        return csv_bytes(lines)
    return "".join(json_text(line) + "\n" for line in lines.to_dict("records")).encode()


def _place(value: object, place: str, judgements: Judgements) -> tuple[int, int] | None:
    """Which line of how many a record is; None where nothing is said."""
    if value is None:
        return None
    found = _PLACE.fullmatch(str(value).strip())
    if not found:
        raise MarginError(f"{place}: column {DRAWN} is not as it was written: leave it as it is")
    if found[3] != _mark(judgements):
        raise MarginError(
            f"{place}: the sample was drawn by other labels than these of {brief(judgements.judge)}: give "
            "the judge by whose labels it was drawn, or draw another"
        )
    return int(found[1]), int(found[2])


def _require_all_drawn(drawn: Sequence[tuple[int, int] | None], path: Path) -> None:
    """MarginError where lines of a sample are missing: those that are hard to label are no random ones."""
    told = {one for one in drawn if one is not None}
    if not told:
        return
    if len(told) < len(drawn) or len(totals := {total for _, total in told}) > 1:
        raise MarginError(f"{path}: its lines are not of one sample: each says in column {DRAWN} which it is")
    if missing := sorted(set(range(1, totals.pop() + 1)) - {number for number, _ in told}):
        listed = ", ".join(map(str, missing[:5])) + ("…" if len(missing) > 5 else "")
        raise MarginError(
            f"{path} lacks {len(missing)} of the lines that were drawn ({listed}): label all of them"
        )


def _require_every_stratum(table: pd.DataFrame, path: Path) -> None:
    counts = table.groupby(["condition", "label"], sort=False)[AUDIT].agg(["size", "count"])
    short = counts[counts["count"] < np.minimum(counts["size"], LEAST)]
    if len(short):
        (condition, label), found = short.index[0], short.iloc[0]
        raise MarginError(
            f"{path}: of {found['size']} answers under {brief(condition)!r} that the judge calls "
            f"{brief(label)!r} {found['count']} are labelled, {min(LEAST, found['size'])} are needed "
            f"(short: {len(short)} conditions and labels); margin judge --draw-audit draws enough of each"
        )
