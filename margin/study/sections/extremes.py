"""Do a few prompts lie so far out that intervals cannot be relied on?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from margin.analysis.extremes import FAR, relative_distances
from margin.study.record import Record
from margin.study.section import Fact, PointSection
from margin.study.study import HEADLINE, PointStudy
from margin.study.table import Table, table

Kind = Literal["cosine", "euclidean"]
SAYS: Mapping[Kind, str] = {
    "cosine": (
        "points near the origin turn their direction with any small shift: intervals of cosine margins may "
        "be too narrow (in simulations .76 to .93 for .95)"
    ),
    "euclidean": (
        "intervals of Euclidean and squared Euclidean margins and of the separation measures may be far too "
        "narrow (in simulations .73 to .85 for .95, bands over several less); read the cosine margin"
    ),
}


class ExtremeRecord(Record):
    """How far out prompts lie under one distance."""

    distance: Kind
    prompts: Annotated[int, Field(ge=0)]
    """Prompts more than three times as far from their mode's mean as half of them are."""
    largest: float
    """Distance of the farthest, in medians."""


class ExtremesKeys(Record):
    extremes: list[ExtremeRecord] = []
    """How far out prompts lie."""


@dataclass(frozen=True, eq=False)
class Extremes(PointSection):
    """Prompts that lie far out, by distance."""

    keys = ExtremesKeys
    relative: Mapping[Kind, NDArray[np.float64]]
    """(n,) distance of each prompt from its mode's mean, in medians."""

    @classmethod
    def of(cls, study: PointStudy) -> Extremes:
        """Of the headline space, in directions and in places."""
        assert HEADLINE == "cosine"
        return cls(
            {
                "cosine": relative_distances(study.distances, study.design),
                "euclidean": relative_distances(study.space.distances("sqeuclidean"), study.design),
            }
        )

    def record(self) -> ExtremesKeys:
        """One line a distance."""
        return ExtremesKeys(
            extremes=[
                ExtremeRecord(distance=kind, prompts=_far(found), largest=float(found.max()))
                for kind, found in self.relative.items()
            ]
        )

    def tables(self) -> Iterator[Table]:
        """One line a distance under which prompts lie far out."""
        lines = [
            {"distance": kind, "prompts": _far(found), "of": len(found), "largest": float(found.max())}
            for kind, found in self.relative.items()
            if _far(found)
        ]
        note = (
            f"Prompts more than {FAR:g} times as far from their mode's mean as half of all prompts are; "
            "largest: the farthest, in such medians. Intervals take each prompt to be one of many."
        )
        yield table("extremes", "Prompts that lie far out", note, pd.DataFrame(lines))

    def facts(self) -> Iterator[Fact]:
        """Distances whose intervals are not to be relied on."""
        for kind, found in self.relative.items():
            if n := _far(found):
                lie = "prompt lies" if n == 1 else "prompts lie"
                sentence = f"{n} {lie} up to {found.max():.1f} times as far out as half of them: {SAYS[kind]}"
                yield Fact(f"far out ({kind})", str(n), "", sentence, card=False, alarm=True)


def _far(relative: NDArray[np.float64]) -> int:
    return int(np.sum(relative > FAR))
