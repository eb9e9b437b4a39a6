"""How far apart do the modes stand?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, get_args

import pandas as pd
from pydantic import Field

from margin import figures
from margin.analysis.margins import Margins, Variant
from margin.analysis.metrics import Distance
from margin.study.canvas import Canvas
from margin.study.notation import interval, number, with_interval
from margin.study.record import EstimateRecord, Record
from margin.study.section import Fact, PointSection
from margin.study.sections.variants import VARIANTS
from margin.study.study import HEADLINE, PointStudy
from margin.study.table import Table, intervals, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_PAIRED = 6
"""Modes up to which all pairs, with their intervals, fit a figure of one column."""


class VariantsRecord(Record):
    """One margin in its three variants."""

    plain: EstimateRecord
    """As scikit-learn computes it: to compare with, no valid interval."""
    leave_prompt_out: EstimateRecord
    """The one to infer on."""
    prompt_centred: EstimateRecord
    """Leave-prompt-out after each prompt's mean over modes is taken away."""


class ModeMargin(EstimateRecord):
    """Leave-prompt-out margin of one mode."""

    mode: str


class PairMargin(EstimateRecord):
    """Leave-prompt-out margin of two modes alone."""

    modes: Annotated[list[str], Field(min_length=2, max_length=2)]


class MarginsKeys(Record):
    sam: dict[Distance, VariantsRecord]
    """sam[distance][variant]."""
    sam_space: str
    """Space of the cosine and Euclidean margins."""
    per_mode: list[ModeMargin]
    one_vs_one: list[PairMargin]


def draw_pairs(study: PointStudy, canvas: Canvas) -> Figure:
    """Margin of each pair of modes."""
    modes = len(study.headline.per_mode)
    fig = canvas.figure("single") if modes <= MOST_PAIRED else canvas.figure("double", 0.4 * modes + 0.5)
    figures.pair_heatmap(pairs(study.headline), fig.add_subplot())
    return fig


def pairs(margins: Margins) -> pd.DataFrame:
    """Margin of each pair of modes: first, second and the fields of its estimate."""
    return pd.DataFrame(
        [{"first": a, "second": b, **e.to_dict()} for (a, b), e in margins.one_vs_one.items()]
    )


@dataclass(frozen=True, eq=False)
class MarginsSection(PointSection):
    """The margins of the headline space, and of next-token distributions."""

    keys = MarginsKeys
    figures = {"pairs": draw_pairs}
    sam: dict[Distance, Margins]
    """Margins by distance: cosine, euclidean, sqeuclidean between logits; hellinger2 of distributions."""

    @classmethod
    def of(cls, study: PointStudy) -> MarginsSection:
        """Margins by distance."""
        return cls(study.by_distance())

    @property
    def headline(self) -> Margins:
        """Margins under the headline distance."""
        return self.sam[HEADLINE]

    @property
    def weakest_pair(self) -> tuple[str, str]:
        """The two modes that stand closest."""
        pairs = self.headline.one_vs_one
        return min(pairs, key=lambda pair: pairs[pair].estimate)

    def record(self) -> MarginsKeys:
        """Margins by distance and variant, and those of the headline by mode and pair."""
        modes, pairs = self.headline.per_mode.items(), self.headline.one_vs_one.items()
        return MarginsKeys(
            sam={distance: _variants(margins) for distance, margins in self.sam.items()},
            sam_space=self.headline.space,
            per_mode=[ModeMargin.from_estimate(margin, mode=mode) for mode, margin in modes],
            one_vs_one=[PairMargin.from_estimate(margin, modes=list(pair)) for pair, margin in pairs],
        )

    def to_frame(self) -> pd.DataFrame:
        """One line a margin: quantity, name, the fields of its estimate, space, distance."""
        return pd.concat([margins.to_frame() for margins in self.sam.values()], ignore_index=True)

    def tables(self) -> Iterator[Table]:
        """One line a mode and pair of modes."""
        lines = self.headline.to_frame()
        lines = lines[lines["quantity"] != "sam"]
        frame = pd.DataFrame({"modes": lines["name"], "margin": intervals(lines)})
        note = f"Leave-prompt-out, {self.headline.distance} in {self.headline.space}."
        yield table("by-mode", "By mode and by pair of modes", note, frame, drawn=["margin"])

    def facts(self) -> Iterator[Fact]:
        """The margin, prompt-centred too, and the two modes that stand closest."""
        headline = self.headline
        margin, centred = headline.leave_prompt_out, headline.prompt_centred
        about = f"{interval(margin.low, margin.high)} {VARIANTS['leave_prompt_out']}"
        yield Fact(
            f"{headline.distance} margin in {headline.space}", number(margin.estimate), about, first=True
        )
        yield Fact("prompt-centred margin", number(centred.estimate), interval(centred.low, centred.high))
        pair = headline.one_vs_one[self.weakest_pair]
        yield Fact(
            "weakest pair", " / ".join(self.weakest_pair), with_interval(pair.estimate, pair.low, pair.high)
        )


def _variants(margins: Margins) -> VariantsRecord:
    return VariantsRecord(
        **{variant: EstimateRecord.from_estimate(getattr(margins, variant)) for variant in get_args(Variant)}
    )
