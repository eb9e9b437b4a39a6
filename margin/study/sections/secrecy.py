"""How well do the tokens keep?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from margin import figures
from margin.errors import MarginError
from margin.inputs.conversation import without_mode
from margin.inputs.echoes import MARK
from margin.run.run import Run
from margin.stats.clusters import make_clusters
from margin.stats.intervals import upper_bound
from margin.study.canvas import Canvas
from margin.study.record import EstimateRecord, Record
from margin.study.secrecy_facts import secrecy_facts
from margin.study.secrecy_file import (
    SaidRecord,
    SecrecyRecord,
    secrecy_of,
)
from margin.study.secrecy_tables import guesses, said_table, secrecy_tables
from margin.study.section import Fact, Section
from margin.study.settings import Settings
from margin.study.spaces import clusters_of
from margin.study.study import Study
from margin.study.table import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXTRACT = "extract"


class SecrecyKeys(Record):
    secrecy: SecrecyRecord | None = None
    """How well the tokens keep (secrecy.json); null where margin secrecy was not run."""
    said: list[SaidRecord] = []
    """Answers of this run that hold a live token, by request and mode; empty without requests or answers."""


def draw(study: Study, canvas: Canvas) -> Figure:
    """Tries against the chance of an opening, by what is known of the token."""
    found = study.section(Secrecy)
    if found is None or found.kept is None or (lines := guesses(found.kept)).empty:
        raise MarginError("no guessing curve can be drawn: margin secrecy MODEL --out RUN makes it")
    fig = canvas.figure("double", 3.0)
    figures.guessing_curve(lines, fig.add_subplot())
    return fig


@dataclass(frozen=True, eq=False)
class Secrecy(Section):
    """What `margin secrecy` found of the run's checkpoint, and what the run's own answers hold."""

    keys = SecrecyKeys
    figures = {"guessing": draw}
    kept: SecrecyRecord | None
    said: list[SaidRecord] = field(default_factory=list)

    @classmethod
    def of(cls, study: Study) -> Secrecy | None:
        """None where neither is there."""
        kept, said = secrecy_of(study.run), list(said_in(study.run, study.settings))
        return cls(kept, said) if kept or said else None

    def record(self) -> SecrecyKeys:
        """secrecy.json as it stands, and the run's own."""
        return SecrecyKeys(secrecy=self.kept, said=self.said)

    def tables(self) -> Iterator[Table]:
        """Exposure, what is said, what is near, what a search finds, and what is answered."""
        if self.kept is None:
            yield from said_table("said", "What answers of this run say of the tokens", self.said)
            return
        yield from secrecy_tables(self.kept)
        yield from said_table("said-in-run", "What answers of this run say of the tokens", self.said)

    def facts(self) -> Iterator[Fact]:
        """The worst of it."""
        if self.kept is not None:
            yield from secrecy_facts(self.kept)
        count = sum(line.count for line in self.said)
        if count:
            asked = sum(line.rate.n_prompts for line in self.said)
            yield Fact("says its token", f"{count} of {asked} answers", "of this run", card=False, alarm=True)


def said_in(run: Run, settings: Settings) -> Iterator[SaidRecord]:
    """How many kept answers of a run to each request, under each mode, hold what was taken for a token."""
    rows = run.rows[run.rows["kind"] == EXTRACT]
    if rows.empty or not run.manifest.identity.generate:
        return
    answers = run.answers.set_index("row")["answer"]
    labels = clusters_of(run, settings.cluster)
    for (condition, mode), part in rows.groupby(["condition", "mode"], sort=False):
        holds = answers.loc[part["row"]].str.contains(MARK, regex=False).to_numpy()
        over = None if labels is None else make_clusters(labels.reindex(part["prompt_id"]))
        yield SaidRecord(
            mode=str(mode),
            condition=without_mode(str(condition), str(mode)),
            count=int(holds.sum()),
            rate=EstimateRecord.from_estimate(upper_bound(holds, settings.level, over)),
        )
