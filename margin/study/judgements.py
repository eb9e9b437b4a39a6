"""What a judge said of the rows of a run, and how that is kept beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

import numpy as np
import pandas as pd

from margin.analysis.behaviour.refusal import match_refusals
from margin.errors import MarginError
from margin.inputs.expected import is_refusing
from margin.inputs.spellings import marked, seen
from margin.run.run import Run
from margin.short import Short
from margin.text import brief, shown

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
_NO_TEXT = "a label that is no text, {!r}: a label is a word or two"
MOST = 50
"""Different labels that judgements may hold."""
NEAR = 0.7
"""Likeness (difflib's, 0 to 1) from which a label is taken for another: of "refused" and "refusal" 0.71."""
REFUSAL, ANSWER, EMPTY = "refusal", "answer", "empty"
"""What the refusal matcher calls an answer; an empty one is given to no judge."""

Judge = Callable[[Sequence[str]], Sequence[str]]
"""Whatever gives each of N texts one label."""


@dataclass(frozen=True, eq=False)
class Judgements(Short):
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
                raise MarginError(f"{who} gives {_NO_TEXT.format(brief(label, 40))}")
            if not is_label(label):
                raise MarginError(f"{who} gives a label that is none: {LABELS}")
        if (different := table["label"].nunique()) > MOST:
            raise MarginError(f"{who} gives {different} different labels: use at most {MOST}")
        spelt: dict[str, str] = {}
        for label in dict.fromkeys((*table["label"], *audited, *self.expected.values())):
            # Else each would be counted for itself, and the rate of what is meant be too low.
            if (other := spelt.setdefault(_spelling(label), label)) != label:
                both = f"{marked(other)!r} and {marked(label)!r}"
                raise MarginError(f"{who}: labels {both} are one, spelt in two ways: take one")
        for name in set(SCORES) & set(table):
            require_in_range(table[name], name, who)


def _spelling(label: str) -> str:
    """What two spellings of one label have in common: not case, spaces, how accents are encoded, or whether a
    letter is another alphabet's that looks like it."""
    return " ".join(seen(label).split())


def require_meant(label: str, known: set[str], what: str) -> None:
    """MarginError for a label that the judge has not, but nearly: a slip, or "refused" for "refusal".

    Counted as a label of its own it would never be met. One that is unlike all of the judge's may be meant,
    and so may "unsafe" where all are "safe", and "level 2" beside "level 1".
    """
    if _spelling(label) in map(_spelling, known) or not label.isalpha():  # the first is refused as such
        return
    near = get_close_matches(label, [one for one in known if one.isalpha()], cutoff=NEAR)
    if meant := next((one for one in near if one not in label and label not in one), None):
        raise MarginError(
            f"{what}: {brief(label)!r} is no label of the judge's ({', '.join(map(brief, sorted(known)))}): "
            f"did you mean {brief(meant)!r}? If not, write what is less like it"
        )


def _require_spelt(labels: set[str], names: Iterable[str], who: str) -> None:
    """MarginError where labels are these names but for case, spaces or accents, POS for pos: nothing would be
    expected of any mode, without a word."""
    known = {_spelling(name): name for name in names}
    meant = {label: known.get(_spelling(label)) for label in sorted(labels)}
    if None not in meant.values() and (slip := next((one for one in meant if meant[one] != one), None)):
        raise MarginError(
            f"{who}: label {brief(slip)!r} is spelt {meant[slip]!r} here: write it so, or say which label is "
            "expected of each mode"
        )


def is_label(text: str) -> bool:
    """Whether a text is short and plain enough for a label, which reports show."""
    return bool(text) and len(text) <= LONGEST and text.isprintable()


def require_in_range(scores: pd.Series, name: str, who: str) -> None:
    """MarginError where one of the scores of a kind is none; `who` says whose they are."""
    low, high = SCORES[name]
    wrong = ~pd.to_numeric(scores, errors="coerce").between(low, high)
    if name == "constructive":
        wrong |= pd.to_numeric(scores, errors="coerce") % 1 != 0
    if wrong.any():
        found = brief(scores[wrong].iloc[0], 40)
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
    labels = np.full(len(answers), EMPTY, dtype=object)
    labels[said.to_numpy()] = labels_by(judge, name, answers["answer"][said].tolist())
    return Judgements(name, pd.DataFrame({"row": answers["row"], "label": labels}))


def labels_by(judge: Judge, name: str, texts: Sequence[str]) -> list[str]:
    """What a judge calls each text. MarginError where it does not give as many labels, or some are no text:
    compared with the label that is expected, 1 would never be one.
    """
    given = judge(texts)
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        raise MarginError(f"judge {name} gave a {type(given).__name__}: a list of labels is needed")
    found = list(given)
    if len(found) != len(texts):
        raise MarginError(
            f"judge {name} gave {len(found)} labels for {len(texts)} answers: one each is needed"
        )
    for label in found:
        if not isinstance(label, str) or not label:
            raise MarginError(f"judge {name} gives {_NO_TEXT.format(brief(label, 40))}")
    return found


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
    the labels, or all of them are "answer", "refusal" for the refusal modes (by default "rej" and
    "rej@...") and "answer" for the others.

    Raises
    ------
    MarginError : a mode that the run does not have, or that is to bear two labels; a label that the judge has
        not, but nearly; labels that are names of modes, or "refusal" and "answer", but for their spelling;
        refusal modes where none of the labels says what a refusal is.
    """
    given = dict(given or {})
    for name in (*refusal_modes, *given):
        if name not in modes:
            raise MarginError(f"no mode {name!r} in this run: it has {', '.join(modes)}")
    for name in refusal_modes:
        if given.get(name, REFUSAL) != REFUSAL:
            raise MarginError(
                f"mode {name!r} is to refuse, and to be {brief(given[name])!r}: say one of them"
            )
    labels = set(judgements.table["label"])
    if not given:
        for known in (modes, (REFUSAL, ANSWER)):
            _require_spelt(labels - {EMPTY}, known, f"judge {judgements.judge}")
    # A file of answers alone, none of them a refusal, is of a judge that knows refusals, too.
    tells = judgements.judge == REFUSAL or REFUSAL in labels or labels - {EMPTY} == {ANSWER}
    if refusal_modes and not tells:
        known = ", ".join(brief(label) for label in sorted(labels))
        raise MarginError(
            f"no label is called {REFUSAL!r} (there are {known}): say which is expected of a mode"
        )
    for name, label in given.items():
        if not isinstance(label, str):
            raise MarginError(f"expected of mode {name!r} is {shown(label)}, which is no text: give a label")
        require_meant(label, labels | ({REFUSAL, ANSWER} if tells else set()), f"expected of mode {name!r}")
    refusing = refusal_modes or [mode for mode in modes if is_refusing(mode)]
    expected = {}
    if labels - {EMPTY} <= set(modes):
        expected = {mode: mode for mode in modes}
    elif refusing and tells:
        expected = {mode: REFUSAL if mode in refusing else ANSWER for mode in modes}
    return Judgements(judgements.judge, judgements.table, expected | given)
