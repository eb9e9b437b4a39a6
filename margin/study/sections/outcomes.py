"""What was expected of every condition, and what came of it?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated

import pandas as pd
from pydantic import Field

from margin.run.run import Run
from margin.run.run_tables import ANSWERS
from margin.study.behaviour import judgements_of
from margin.study.outcomes import Outcome, Tally, outcomes
from margin.study.outcomes import Outcomes as Findings
from margin.study.record import EstimateRecord, Record, Text
from margin.study.section import Fact, Section
from margin.study.study import Study
from margin.study.table import UNEXPECTED, Count, Interval, Table, table

LISTED = 200
"""Rows of a cell that are listed at most."""
JUDGED = "judged: "
"""What the column of a judge's label is called in front."""


class TallyRecord(Record):
    """Outcomes of the rows of one condition, by one way to tell them."""

    rows: dict[str, int]
    """Rows by outcome."""
    expected: list[str]
    unexpected: Annotated[int, Field(ge=0)]
    """Rows whose outcome was not expected."""
    prompts: Annotated[int, Field(ge=0)]
    """Prompts any of whose rows came out otherwise."""
    share: EstimateRecord
    """Share of these prompts, with an upper bound."""


class OutcomeRecord(Record):
    """What was expected of one condition, and what came of it."""

    condition: str
    kind: str
    mode: Text
    """Mode whose token stands in the system message."""
    refuses: bool
    """Whether a refusal was expected and nothing else."""
    draws: Annotated[int, Field(ge=1)]
    indicative: bool
    landed: TallyRecord
    """By the nearest mode."""
    answered: TallyRecord | None
    """By the judge's label; null without one, or where what to expect of it is not known."""


class OutcomesKeys(Record):
    outcomes: list[OutcomeRecord] = []
    """Every condition, the modes among them, those that went least as expected first."""


@dataclass(frozen=True, eq=False)
class Outcomes(Section):
    """Expected against observed, for the modes and every control condition."""

    keys = OutcomesKeys
    found: Findings
    level: float
    texts: pd.DataFrame | None = None
    """Prompt and, where kept, answer by row; None where text was not asked for."""

    @classmethod
    def of(cls, study: Study) -> Outcomes:
        """Of every run: where it has no controls, of its modes alone."""
        settings, run = study.settings, study.run
        found = outcomes(run, study.placement, judgements_of(run), settings.cluster)
        return cls(found, settings.level, _texts(run) if settings.text else None)

    def record(self) -> OutcomesKeys:
        """One line a condition."""
        return OutcomesKeys(
            outcomes=[
                OutcomeRecord(
                    condition=one.condition,
                    kind=one.kind,
                    mode=one.mode,
                    refuses=one.refuses,
                    draws=one.draws,
                    indicative=one.indicative,
                    landed=self._tally(one.landed),
                    answered=None if one.answered is None else self._tally(one.answered),
                )
                for one in self.found.found
            ]
        )

    def tables(self) -> Iterator[Table]:
        """Conditions by outcomes, with counts of rows."""
        judge = "" if self.found.judge is None else f" Judge: {self.found.judge}."
        note = (
            "Rows by the mode each is nearest to, and by the judge's label where answers were judged."
            f"{judge} Expected: the mode that the system message asks for; where none of its tokens stands "
            f"there, a safe mode. {UNEXPECTED} marks rows that came out otherwise. Those that went least as "
            "expected come first; at the end prompts any of whose rows came out otherwise, with an upper "
            "bound. * marks rates that are indicative only."
        )
        if any(one.kind != "mode" for one in self.found.found):
            note += (
                " A row far from every mode is counted with the nearest one, too: Where other conditions "
                "land counts it as outside."
            )
        lines = [self._line(place, one) for place, one in enumerate(self.found.found)]
        yield table("outcomes", "Expected against observed", note, pd.DataFrame(lines))

    def facts(self) -> Iterator[Fact]:
        """How many rows came out otherwise than expected, and how many refusals failed."""
        judged = any(one.answered is not None for one in self.found.found)
        told = [("landed in a mode", [one.landed for one in self.found.found])]
        if judged:
            answered = [one.answered for one in self.found.found if one.answered is not None]
            told.append(("were answered", answered))
        for how, tallies in told:
            wrong, rows = sum(t.unexpected for t in tallies), sum(t.rows for t in tallies)
            where = f"{sum(t.unexpected > 0 for t in tallies)} of {len(tallies)} conditions"
            sentence = f"{wrong:,} of {rows:,} rows {how} otherwise than expected, in {where}"
            yield Fact("unexpected outcomes", f"{wrong:,} of {rows:,}", where, sentence, card=False)
        refusing = [one.told for one in self.found.found if one.refuses and one.kind != "mode"]
        if refusing:
            failed, rows = sum(t.unexpected for t in refusing), sum(t.rows for t in refusing)
            failing_rows = "answers {} do not" if judged else "rows {} come nearest to another mode"
            failing = sum(t.unexpected > 0 for t in refusing)
            where = f"{failing} of {len(refusing)} condition{'' if len(refusing) == 1 else 's'}"
            sentence = (
                f"{failed:,} of {rows:,} {failing_rows.format('under attack that should refuse')}, in {where}"
            )
            yield Fact("failed refusals", f"{failed:,} of {rows:,}", where, sentence, alarm=failed > 0)

    def details(self) -> dict[str, list[list[str]]]:
        """The first `LISTED` rows behind each cell of the table, by the cell's key; see `detail_columns`.

        To be shown where a page may give tokens away: which prompt landed where tells of them.
        """
        rows = self.found.rows
        if self.texts is not None:
            rows = rows.join(self.texts, on="row")
        listed: dict[str, list[list[str]]] = {}
        by_condition = dict(list(rows.groupby("condition", sort=False)))
        for place, one in enumerate(self.found.found):
            part = by_condition.get(one.condition)
            if part is None:  # what is shareable holds no rows
                continue
            for name, cell in self._line(place, one).items():
                if not isinstance(cell, Count) or not cell.value:
                    continue
                judged = name.startswith(JUDGED)
                outcome = name.removeprefix(JUDGED) if judged else name
                here = part[part["label" if judged else "nearest"] == outcome]
                assert cell.key is not None
                listed[cell.key] = [
                    ["–" if pd.isna(value) else str(value) for value in line]
                    for line in here.head(LISTED).drop(columns=["row", "condition"]).itertuples(index=False)
                ]
        return listed

    @property
    def detail_columns(self) -> list[str]:
        """What each line of `details` holds."""
        texts = [] if self.texts is None else list(self.texts)
        return ["prompt", "draw", "nearest", "judged", *texts]

    def shareable(self) -> Outcomes:
        """Without rows."""
        return replace(self, texts=None, found=replace(self.found, rows=self.found.rows.head(0)))

    def _tally(self, tally: Tally) -> TallyRecord:
        return TallyRecord(
            rows=dict(tally.counts),
            expected=sorted(tally.expected),
            unexpected=tally.unexpected,
            prompts=tally.prompts,
            share=EstimateRecord.from_estimate(tally.at_most(self.level)),
        )

    def _line(self, place: int, one: Outcome) -> dict[str, object]:
        line: dict[str, object] = {
            "condition": one.condition + (" *" if one.indicative else ""),
            "expected": " or ".join(name for name in one.landed.counts if name in one.landed.expected) or "–",
            "rows": one.landed.rows,
        }
        for name, value in one.landed.counts.items():
            unexpected = name not in one.landed.expected
            line[name] = Count(value, one.landed.rows, unexpected, f"{place}-{name}")
        if one.answered is not None:
            for name, value in one.answered.counts.items():
                unexpected = name not in one.answered.expected
                key = f"{place}-{JUDGED}{name}"
                line[JUDGED + name] = Count(value, one.answered.rows, unexpected, key)
        for title, tally in (("otherwise", one.landed), ("judged otherwise", one.answered)):
            if tally is not None:
                at_most = tally.at_most(self.level)
                counted = (tally.prompts, at_most.n_prompts)
                line[title] = Interval(at_most.estimate, None, at_most.high, signed=False, count=counted)
        return line


def _texts(run: Run) -> pd.DataFrame:
    """Prompt and, where kept, answer of each row."""
    prompts = run.prompts.set_index("id")["prompt"]
    found = pd.DataFrame({"text": run.rows["prompt_id"].map(prompts).to_numpy()}, index=run.rows["row"])
    if ANSWERS in run.manifest.files:
        found["answer"] = run.answers.set_index("row")["answer"].reindex(found.index)
    return found
