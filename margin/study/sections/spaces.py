"""How far does the margin depend on the choice of space and distance?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from margin.study.record import EstimateRecord, Record, records
from margin.study.section import Section
from margin.study.sections.variants import by_variant
from margin.study.study import DISTANCES, Study
from margin.study.table import Table, table

SPACES = ("logits", "logits_centred", "logprobs", "state")


class SpaceMargin(EstimateRecord):
    """A margin of one space under one distance."""

    space: str
    distance: str
    variant: str


class SpacesKeys(Record):
    spaces: list[SpaceMargin]
    """How far the margin depends on space and distance."""


@dataclass(frozen=True, eq=False)
class Spaces(Section):
    """Margins of every space under every distance that makes sense in it."""

    keys = SpacesKeys
    lines: pd.DataFrame
    """One line a space, distance and variant: those and the fields of the estimate."""

    @classmethod
    def of(cls, study: Study) -> Spaces:
        """The table over all spaces."""
        found = [study.margins(space, distance) for space in SPACES for distance in DISTANCES]
        found.append(study.margins("probabilities", "hellinger2"))
        table = pd.concat([margins.to_frame() for margins in found], ignore_index=True)
        table = table[table["quantity"] == "sam"].drop(columns="quantity").rename(columns={"name": "variant"})
        return cls(table.reset_index(drop=True))

    def record(self) -> SpacesKeys:
        """One line a space, distance and variant."""
        return SpacesKeys(spaces=records(SpaceMargin, self.lines))

    def tables(self) -> Iterator[Table]:
        """One line a space and distance."""
        note = (
            "Every space under every distance; margins run from −1 to 1. The one to infer on is "
            "leave-prompt-out; plain has no valid interval."
        )
        sampled = self.lines.loc[self.lines["distance"] == "euclidean", "n_prompts"].max()
        if sampled < self.lines["n_prompts"].max():
            note += f" Euclidean margins are of {sampled:,} of the prompts, at random: they cost the square."
        frame = by_variant(self.lines, ["space", "distance"])
        yield table("by-space", "By space and distance", note, frame, drawn=["leave-prompt-out"])
