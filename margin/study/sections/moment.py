"""Where in the answer is it measured, and did every row come so far?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from margin.inputs.moment import all_alike
from margin.run.records import OneToken, Thoughts
from margin.study.record import Record, Share
from margin.study.section import Fact, Section
from margin.study.study import Study
from margin.study.table import Table, table
from margin.text import shown

WORTH = 0.05
"""Share of prompts left out from which on it is an alarm."""


class ThoughtsRecord(Record):
    """Of what the model wrote before the measured tokens."""

    text: str
    """What it was to write last."""
    limit: int
    """Tokens it had."""
    rows: int
    """Rows asked."""
    ended: int
    """Those that came so far."""
    cut: int
    """Those whose tokens were used up; the others ended their answer before."""
    prompts: int
    """Prompts asked."""
    left_out: int
    """Prompts left out under all modes."""
    forced: int
    """Rows that were given the template's text, since they did not go on with it."""
    tokens: float
    """Mean number of tokens of the rows that came so far."""


class OneTokenRecord(Record):
    """The first token that nearly all rows of the modes predict."""

    token: str
    share: Share


class MomentRecord(Record):
    """Where the answer is measured."""

    measure_after: str
    """"first": the first token of the answer; "thought", or the text that it comes after."""
    thoughts: ThoughtsRecord | None = None
    """null at the first token."""
    one_token: OneTokenRecord | None = None
    """null where rows predict different tokens."""


class MomentKeys(Record):
    moment: MomentRecord | None = None
    """Where it is measured; null at the first token of the answer, with nothing to be said of it."""


@dataclass(frozen=True, eq=False)
class MomentSection(Section):
    """What came before the measured tokens, and whether anything is decided there."""

    keys = MomentKeys
    measure_after: str
    thoughts: Thoughts | None
    one_token: OneToken | None
    lines: pd.DataFrame
    """A line a condition: rows asked, and what became of them."""

    @classmethod
    def of(cls, study: Study) -> MomentSection | None:
        """None at the first token, where rows predict different ones."""
        manifest = study.run.manifest
        thoughts, one_token = manifest.thoughts, manifest.one_token
        if thoughts is None and one_token is None:
            return None
        lines = pd.DataFrame() if thoughts is None else _lines(study.run.thoughts)
        return cls(manifest.identity.measure_after, thoughts, one_token, lines)

    def record(self) -> MomentKeys:
        """As the run's manifest has it."""
        thoughts, alike = self.thoughts, self.one_token
        return MomentKeys(
            moment=MomentRecord(
                measure_after=self.measure_after,
                thoughts=None if thoughts is None else _thoughts(thoughts),
                one_token=None if alike is None else _alike(alike),
            )
        )

    def tables(self) -> Iterator[Table]:
        """One line a condition."""
        if self.thoughts is None:
            return
        note = (
            f"Each row was measured after the model had written {shown(repr(self.thoughts.text))} by itself, "
            f"within {self.thoughts.limit:,} tokens. A prompt of which a row under a mode did not come so "
            "far is left out under all modes; one of which a row under a control did not, of that control "
            "(of all decoys, or of an attack under all modes)."
        )
        yield table("moment", "Where the answer is measured", note, self.lines)

    def facts(self) -> Iterator[Fact]:
        """Prompts left out, and rows that all predict the same."""
        if (alike := self.one_token) is not None:
            said = all_alike(shown(alike.token), alike.share, self.measure_after)
            yield Fact("same token", f"{alike.share:.1%}", "", said, card=False, alarm=True, first=True)
        if (found := self.thoughts) is not None:
            left = f"{found.left_out:,} of {found.prompts:,} prompts"
            said = (
                f"measured after {shown(repr(found.text))}, which {found.ended:,} of {found.rows:,} rows "
                f"write within {found.limit:,} tokens; left out for a row that does not: {left}"
            )
            alarm = found.left_out > WORTH * found.prompts
            yield Fact("left out", left, "", said, card=False, alarm=alarm)


def _thoughts(found: Thoughts) -> ThoughtsRecord:
    return ThoughtsRecord(**found.model_dump(include=set(ThoughtsRecord.model_fields)))


def _alike(found: OneToken) -> OneTokenRecord:
    return OneTokenRecord(token=found.token, share=found.share)


def _lines(thoughts: pd.DataFrame) -> pd.DataFrame:
    grouped = thoughts.groupby("condition", sort=False)
    return pd.DataFrame(
        {
            "condition": list(grouped.groups),
            "rows": grouped.size().to_numpy(),
            "came so far": grouped["ended"].sum().to_numpy(),
            "tokens used up": grouped["cut"].sum().to_numpy(),
            "measured": grouped["row"].count().to_numpy(),
            "median tokens": grouped["n_tokens"].median().to_numpy(),
        }
    )
