"""Labels of a run's rows from logs of evaluation tools, joined by prompt and condition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from margin.errors import MarginError
from margin.inputs.logs.entry import Entry, Log, value_of
from margin.inputs.logs.recognise import read_log
from margin.run.fingerprints import message_without_tokens
from margin.run.run import Run
from margin.study.judgements import Judgements
from margin.study.labels import label_of, others, require_few, require_whole
from margin.text import brief, counted


@dataclass(frozen=True, eq=False)
class Logged:
    """What logs say of a run, and what has to be said of the logs."""

    judgements: Judgements
    recognised: tuple[str, ...]
    """A line a log: which tool's it is, and which score was taken."""
    warned: tuple[str, ...]
    """What was left out, and answers that are not the run's. No live token stands in these lines."""


def read_logs(logs: Mapping[str | None, Path], run: Run, score: str | None = None) -> Logged | None:
    """The judgements in logs of Inspect, lm-evaluation-harness, garak or promptfoo; None where a single file
    that is given is no log.

    An answer belongs to the prompt that has its text, else to that of its id, whose text has to be within
    what was asked. It belongs to the condition that its log is given for, else to the one its own columns or
    metadata name. All rows of the modes have to be there, and of each control condition all or none.

    Parameters
    ----------
    logs : each log by the condition that all of it is of; None for one that says so itself.
    score : which score, metric or detector is the label; needed where a log has several.

    Raises
    ------
    MarginError : a log that is damaged, or no log; a condition the run has not; several scores and none
        named; an answer whose id means a prompt that was not asked, or that says no condition; one that
        stands twice; a row without a label. Shows no text.
    """
    conditions = set(run.rows["condition"])
    for condition in logs:
        if condition is not None and condition not in conditions:
            known = ", ".join(run.rows["condition"].drop_duplicates())
            raise MarginError(f"no condition {brief(condition)!r} in this run: it has {known}")
    read = {condition: read_log(path) for condition, path in logs.items()}
    for condition, log in read.items():
        if log is None:
            if condition is None and len(read) == 1:
                return None
            raise MarginError(
                f"{logs[condition]} is no log of an evaluation tool: a table of labels is given alone"
            )
    join = _Join(run)
    recognised = []
    for condition, log in read.items():
        assert log is not None
        name = _score(log, score, logs[condition])
        join.add(log, name, condition)
        recognised.append(
            f"{logs[condition]}: a log of {log.tool}, {counted(len(log.entries), 'answer')}, labelled by "
            f"{brief(name)}"
        )
    sources = str(next(iter(logs.values()))) + (f" and {len(logs) - 1} more" if len(logs) > 1 else "")
    tools = list(dict.fromkeys(log.tool for log in read.values() if log is not None))
    called = (
        f"{next(iter(logs.values())).name} ({tools[0]})"
        if len(logs) == 1
        else f"{len(logs)} logs of {', '.join(tools)}"
    )
    table = join.table(sources)
    said = (recognised, join.warnings(sources))
    told = (tuple(message_without_tokens(run.manifest, line) for line in lines) for lines in said)
    return Logged(Judgements(called, table), *told)


def _score(log: Log, score: str | None, path: Path) -> str:
    """Name of the score that is the label."""
    names = list(dict.fromkeys(name for entry in log.entries for name in entry.scores))
    if not names:
        raise MarginError(f"{path} is a log of {log.tool} that holds no scored answers")
    known = ", ".join(map(brief, names))
    if score is not None and score not in names:
        raise MarginError(f"{path} has no score {brief(score)!r}: it has {known}")
    if score is None and log.default is None and len(names) > 1:
        raise MarginError(f"{path} has {len(names)} scores, {known}: say which is the label (--score NAME)")
    return score or log.default or names[0]


class _Join:
    """Rows of a run found for answers in logs."""

    def __init__(self, run: Run) -> None:
        self.run = run
        ids, texts = run.prompts["id"].astype(str), run.prompts["prompt"].str.strip()
        self._text: dict[str, str] = dict(zip(ids, texts, strict=True))
        self._id: dict[str, str] = dict(zip(texts, ids, strict=True))
        rows = run.rows[["row", "prompt_id", "condition", "draw"]].astype(str)
        self._row = {(p, c, d): int(row) for row, p, c, d in rows.itertuples(index=False, name=None)}
        self._conditions = set(rows["condition"])
        self._labels: dict[int, str] = {}
        self._places: dict[int, str] = {}
        self._answers: dict[int, str] = {}
        self._foreign: list[str] = []
        self._unscored: list[str] = []

    def add(self, log: Log, score: str, given: str | None) -> None:
        """Take the labels of a log's answers."""
        for entry in log.entries:
            label = value_of(entry.scores.get(score), entry.place, f"score {brief(score)}")
            prompt, condition = self._prompt(entry), given or self._condition(entry)
            row = self._row.get((prompt or "", condition, entry.draw))
            if row is None:
                self._foreign.append(entry.place)
            elif label is None:
                self._unscored.append(entry.place)
            elif row in self._places:
                raise MarginError(
                    f"{entry.place}: prompt {brief(prompt)!r} under {condition!r} stood in "
                    f"{self._places[row]} before: keep one"
                )
            else:
                self._labels[row] = label_of({"label": label}, entry.place)
                self._places[row] = entry.place
                if entry.answer is not None:
                    self._answers[row] = entry.answer

    def table(self, sources: str) -> pd.DataFrame:
        """The judged rows, in order."""
        if not self._labels:
            why = f"; {self._unscored[0]} has no score" if self._unscored else ""
            raise MarginError(
                f"{sources}: none of its answers is to a prompt of this run under a condition of it{why}"
            )
        table = pd.DataFrame({"row": list(self._labels), "label": list(self._labels.values())})
        require_few(table["label"], sources)
        some = (
            f" (without a score: {counted(len(self._unscored), 'answer')}, first {self._unscored[0]})"
            if self._unscored
            else ""
        )
        require_whole(table["row"], self.run, sources, some)
        return table.sort_values("row", ignore_index=True)

    def warnings(self, sources: str) -> tuple[str, ...]:
        """What was left out, and whose answers were judged."""
        found = []
        if self._foreign:
            found.append(
                f"{sources}: left out {counted(len(self._foreign), 'answer')} to prompts or under conditions "
                f"that the run has not, first {self._foreign[0]}"
            )
        if other := others(self.run, self._answers):
            found.append(
                f"{sources}: of {counted(len(self._answers), 'answer')} {other:,} differ from the run's, and "
                "the labels are of the log's"
            )
        return tuple(found)

    def _condition(self, entry: Entry) -> str:
        if not entry.conditions:
            raise MarginError(f"{entry.place} says no condition: give the log as CONDITION=FILE")
        return next((one for one in entry.conditions if one in self._conditions), "")

    def _prompt(self, entry: Entry) -> str | None:
        """The id of the prompt that was asked; None where it is none of the run's.

        The text is believed first, for it was asked: ids that tools give by place may mean other prompts.
        Where a template stands around a prompt, the id says which it is, and the prompt has to be within.
        """
        by_text = {self._id[text.strip()] for text in entry.texts if text.strip() in self._id}
        if len(by_text) > 1:
            raise MarginError(
                f"{entry.place}: its texts are {len(by_text)} prompts of the run: which was asked?"
            )
        if by_text:
            return by_text.pop()
        by_id = next((one for one in entry.ids if one in self._text), None)
        if by_id is not None and entry.texts and not any(self._text[by_id] in text for text in entry.texts):
            raise MarginError(
                f"{entry.place}: its id is that of prompt {brief(by_id)!r}, its text is not: is it a log of "
                "other prompts?"
            )
        return by_id
