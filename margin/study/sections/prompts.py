"""Which prompts are weak?"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

import pandas as pd
from pydantic import ConfigDict

from margin.analysis.prompt_margins import Spread, prompt_margins, worst_prompts
from margin.study.record import Number, Record, ScoreRecord, records
from margin.study.section import Fact, PointSection
from margin.study.study import HEADLINE, PointStudy
from margin.study.table import Interval, Table, table
from margin.text import brief

WORST = 10
"""Prompts on the list of the weakest."""
BESIDE = "column "
"""What a prompt's column is called in front, in a table that has a column of its own by that name."""
DIGITS = 3
"""Decimals of a single prompt's numbers: more tell a reader nothing, and help to find a token."""


class SpreadRecord(ScoreRecord):
    """Spread of one per-prompt margin; `estimate` is the share of prompts below `even`."""

    measure: str
    even: float
    """The value at which a prompt's modes are not told apart."""
    q05: Number
    q25: Number
    q50: Number
    q75: Number
    q95: Number


class PromptRecord(Record):
    """One of the weakest prompts, with its own columns, and its text where that was asked for."""

    model_config = ConfigDict(extra="allow")

    prompt_id: str
    margin: float
    weakest_mode: str
    weakest: float
    distance_ratio: Number
    token_margin: Number = None
    token_weakest: Number = None
    stability: Number


class PromptsKeys(Record):
    prompt_margins: list[SpreadRecord]
    worst_prompts: list[PromptRecord]


@dataclass(frozen=True, eq=False)
class Prompts(PointSection):
    """Margins of single prompts."""

    keys = PromptsKeys
    lines: pd.DataFrame
    """One line a prompt, weakest first: the fields of `PromptMargins`, stability (of a place among the worst;
    NaN below them) and the prompts' own columns; `prompt` only when text was asked for. A prompts' column
    that is called as one of the former stands as "column NAME"."""
    spreads: tuple[Spread, ...]
    """How each per-prompt margin is spread over prompts, and the share of prompts below the neutral value."""

    @classmethod
    def of(cls, study: PointStudy) -> Prompts:
        """Margins of every prompt, and how stable the list of the weakest is."""
        design, settings = study.design, study.settings
        found = prompt_margins(study.space, design, HEADLINE, study.token_margins())
        worst = worst_prompts(study.distances, design, settings.rng("weakest prompts"), count=WORST)
        lines = found.to_frame().merge(worst.to_frame().drop(columns="margin"), on="prompt_id", how="left")
        ids = lines["prompt_id"]
        shown = study.texts if settings.text else None
        texts = [] if shown is None else [shown.loc[ids].reset_index(drop=True)]
        own = study.labels.loc[ids].reset_index(drop=True)
        own.columns = pd.Index(without_clashes(own.columns, [*lines, "prompt"]))
        lines = pd.concat([lines[["prompt_id"]], *texts, lines.drop(columns="prompt_id"), own], axis=1)
        lines = lines.sort_values("margin", kind="stable", ignore_index=True)
        return cls(lines, found.spreads(settings.level, design.clusters))

    def worst(self, count: int = WORST) -> pd.DataFrame:
        """The `count` prompts with the lowest margin."""
        return self.lines.head(count)

    def record(self) -> PromptsKeys:
        """How margins are spread, and the weakest prompts."""
        return PromptsKeys(
            prompt_margins=[
                line for spread in self.spreads for line in records(SpreadRecord, spread.to_frame())
            ],
            worst_prompts=records(PromptRecord, self.worst().round(DIGITS)),
        )

    def to_frame(self) -> pd.DataFrame:
        """Every prompt, weakest first."""
        return self.lines

    def tables(self) -> Iterator[Table]:
        """The weakest prompts, and how margins are spread over all."""
        note = (
            "Weakest first. Margin: mean leave-prompt-out silhouette of a prompt over its modes. Stability: "
            "how often a prompt stays among the weakest when prompts are resampled."
        )
        yield table("prompts", "The weakest prompts", note, self.worst())
        lines = [
            {
                "measure": spread.measure.replace("_", " "),
                "even": spread.neutral,
                **{f"{share:.0%}": value for share, value in spread.quantiles.items()},
                "share below even": Interval(
                    spread.share_below.estimate, spread.share_below.low, spread.share_below.high, signed=False
                ),
            }
            for spread in self.spreads
        ]
        note = "Quantiles over prompts; even is the value at which a prompt's modes are not told apart."
        yield table("spreads", "Margins of single prompts", note, pd.DataFrame(lines))

    def all(self) -> Table:
        """Every prompt: gives tokens away as the run does."""
        note = "Weakest first. Margin: mean leave-prompt-out silhouette of a prompt over its modes."
        return table("prompts", "Prompts", note, self.lines)

    def facts(self) -> Iterator[Fact]:
        """The weakest prompts."""
        worst = self.worst()
        if len(worst):
            listed = ", ".join(
                f"{brief(name)} ({value:+.2f})"
                for name, value in zip(worst["prompt_id"], worst["margin"], strict=True)
            )
            yield Fact("weakest prompts", listed, card=False)

    def shareable(self) -> Prompts:
        """Spreads only."""
        return replace(self, lines=self.lines.head(0))


def without_clashes(columns: Iterable[str], own: Collection[str]) -> list[str]:
    """Names of the prompts' columns in a table with columns of its `own`, set apart where they are the same.

    Different columns keep different names.

    Example
    -------
    >>> without_clashes(["language", "margin", "column margin"], own=["prompt_id", "margin"])
    ['language', 'column margin', 'column column margin']
    """
    return [f"{BESIDE}{name}" if name in own or name.startswith(BESIDE) else name for name in columns]
