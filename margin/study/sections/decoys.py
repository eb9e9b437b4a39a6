"""Is a margin more than any tokens would give?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from margin import figures
from margin.analysis.decoys import AboveDecoys, above_decoys
from margin.analysis.margins import margins, pair_name
from margin.analysis.metrics import Distance
from margin.analysis.robustness.assignment import assign
from margin.analysis.separation.measures import SMALLER_IS_APART
from margin.analysis.separation.table import ALL, measured
from margin.analysis.separation.tokens import TokenTables
from margin.analysis.space import Coordinates, Space
from margin.errors import MarginError
from margin.stats.design import Design
from margin.stats.estimate import Estimate
from margin.stats.folds import prompt_folds
from margin.study.above import AboveRecord, cells
from margin.study.canvas import Canvas
from margin.study.notation import interval, number
from margin.study.record import Record
from margin.study.section import Fact, Section
from margin.study.sections.variants import VARIANTS
from margin.study.settings import Settings
from margin.study.study import DISTANCES, HEADLINE, SPACE, Study
from margin.study.table import Table, table
from margin.text import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NO_MORE = "no more than any tokens give"

Key = tuple[str, str | None, Distance | None, str]
"""Measure, variant of the margin, distance, and modes: "all" or "a / b"."""


class DecoyRecord(AboveRecord):
    """One number of the live tokens beside those of the decoy sets; `estimate` is live less their mean."""

    measure: str
    """"sam", a separation measure, or "landing_accuracy"."""
    variant: Literal["leave_prompt_out", "prompt_centred"] | None
    distance: str | None
    modes: str


class DecoysKeys(Record):
    decoys: list[DecoyRecord] = []
    """The live tokens' numbers above those of meaningless ones; empty without decoys."""


def draw(study: Study, canvas: Canvas) -> Figure:
    """Margins of the live tokens, and of each decoy set beside them."""
    found = study.section(Decoys)
    if found is None:
        raise MarginError("no decoys can be drawn: collect the run with --decoys 5")
    lines = pd.DataFrame(
        [
            {
                "name": f"{modes} ({VARIANTS[variant or '']})" if modes == ALL else modes,
                "live": one.live,
                "decoys": one.decoys,
            }
            for (measure, variant, distance, modes), one in found.lines.items()
            if measure == "sam" and distance == HEADLINE
        ]
    )
    fig = canvas.figure("single", figures.forest_height(len(lines)))
    figures.decoy_strips(lines, fig.add_subplot())
    return fig


@dataclass(frozen=True, eq=False)
class Decoys(Section):
    """The live tokens' numbers beside those of sets of meaningless tokens, on the same prompts."""

    keys = DecoysKeys
    figures = {"decoys": draw}
    lines: Mapping[Key, AboveDecoys]
    has_distributions: bool = True
    """Whether the run keeps next-token distributions of its sets: those of earlier versions do not."""

    @classmethod
    def of(cls, study: Study) -> Decoys | None:
        """None where the run was collected without decoys, or holds none of them in the headline's space."""
        if study.decoys is None:
            return None
        rows, run, settings = study.decoys, study.run, study.settings
        tokens = rows.tokens(run, settings.cluster)
        of_sets: Sequence[TokenTables | None] = tokens or [None] * (1 + len(rows.sets))
        # Of a capped head only the first sets have points.
        found = [
            dict(_numbers(space, rows.design, table, settings))
            for space, table in zip(rows.spaces(run, SPACE), of_sets, strict=False)
        ]
        if len(found) < 2:
            return None
        lines = _above(found, rows.design, settings.level)
        design, spaces = rows.distributions(run)
        if spaces and design.n_units > 1:
            found = [dict(_margins(space, design, "hellinger2", settings.level)) for space in spaces]
            lines |= _above(found, design, settings.level)
        return cls(lines, has_distributions=bool(tokens))

    @property
    def headline(self) -> AboveDecoys:
        """The headline margin above decoys."""
        return self.lines["sam", "leave_prompt_out", HEADLINE, ALL]

    def record(self) -> DecoysKeys:
        """One line a number."""
        return DecoysKeys(
            decoys=[
                DecoyRecord.from_above(one, measure=measure, variant=variant, distance=distance, modes=modes)
                for (measure, variant, distance, modes), one in self.lines.items()
            ]
        )

    def tables(self) -> Iterator[Table]:
        """Margins, and the other measures, over all modes and by pair."""
        some = self.headline
        note = (
            f"{counted(len(some.decoys), 'set')} of meaningless tokens, asked like the modes on "
            f"{some.above.n_prompts} prompts. Above decoys: the live tokens' number less the sets' mean, "
            "with an interval over prompts and sets; what training made is what stands above. Rank p: how "
            f"surprising the live number would be as one more set; with "
            f"{counted(len(some.decoys), 'set')} never below {1 / (len(some.decoys) + 1):.2f}."
        )
        of_margins = [
            {"modes": modes, "distance": distance, "variant": VARIANTS[variant or ""], **cells(one)}
            for (measure, variant, distance, modes), one in self.lines.items()
            if measure == "sam"
        ]
        title = "Margins above what any tokens give"
        yield table("decoys", title, note, pd.DataFrame(of_margins), drawn=["above decoys"])
        others = [
            {"measure": measure.replace("_", " "), "modes": modes, **cells(one)}
            for (measure, _, _, modes), one in sorted(self.lines.items(), key=lambda line: line[0][3] != ALL)
            if measure != "sam"
        ]
        whole = sum(line["modes"] == ALL for line in others)
        note = (
            "As above; no interval where it is not known what single prompts do to a measure, or where an "
            "angle is 0 within its noise. Rank p is small where the live tokens stand farther apart than "
            "sets do: of Davies-Bouldin and of the prompts' share of the variance where their number is the "
            "smaller one."
        )
        if not self.has_distributions:
            note += (
                " Information, total variation and Hellinger distance of next-token distributions are not "
                "there: the run was collected before they were kept of decoys."
            )
        title = "Other measures beside those of any tokens"
        yield table("decoys-measures", title, note, pd.DataFrame(others), brief=whole)

    def facts(self) -> Iterator[Fact]:
        """Whether the headline margin is more than any tokens would give."""
        one = self.headline
        above, sets = one.above, f"{counted(len(one.decoys), 'set')} of meaningless tokens"
        bounds = interval(above.low, above.high)
        range_of_sets = f"{number(min(one.decoys))} to {number(max(one.decoys))}"
        value = number(above.estimate) if one.is_more else NO_MORE
        known = "" if above.low is not None else ", one set gives no interval"
        yield Fact(
            "above decoys",
            value,
            f"{number(above.estimate)} {bounds}; {sets} have {range_of_sets}{known}",
            f"the margin is {number(above.estimate)} {bounds} above {sets} ({range_of_sets})"
            + ("" if one.is_more else f": {NO_MORE}"),
            alarm=not one.is_more,
            first=True,
        )
        centred = self.lines["sam", "prompt_centred", HEADLINE, ALL]
        bounds = interval(centred.above.low, centred.above.high)
        note = f"{bounds}; {sets} have {number(min(centred.decoys))} to {number(max(centred.decoys))}"
        yield Fact("prompt-centred above decoys", number(centred.above.estimate), note)


def _above(found: Sequence[Mapping[Key, Estimate]], design: Design, level: float) -> dict[Key, AboveDecoys]:
    """Every number of the live tokens, which come first, above those of the sets that have it."""
    live, *sets = found
    return {
        key: above_decoys(
            estimate,
            [of_set[key] for of_set in sets if key in of_set],
            level,
            design.clusters,
            smaller=key[0] in SMALLER_IS_APART,
        )
        for key, estimate in live.items()
        if any(key in of_set for of_set in sets)
    }


def _margins(
    space: Space, design: Design, distance: Distance, level: float
) -> Iterator[tuple[Key, Estimate]]:
    """Margins of one set of tokens under one distance."""
    found = margins(space, design, distance, level)
    yield ("sam", "leave_prompt_out", distance, ALL), found.leave_prompt_out
    yield ("sam", "prompt_centred", distance, ALL), found.prompt_centred
    if distance == HEADLINE:
        for pair, estimate in found.one_vs_one.items():
            yield ("sam", "leave_prompt_out", distance, pair_name(pair)), estimate


def _numbers(
    space: Space, design: Design, tokens: TokenTables | None, settings: Settings
) -> Iterator[tuple[Key, Estimate]]:
    """Every number of one set of tokens, live or decoys, that is of points or of single prompts."""
    for distance in DISTANCES:
        yield from _margins(space, design, distance, settings.level)
    rng = settings.rng("decoys")
    for one in measured(
        space, design, tokens, rng=rng, optional=settings.optional, level=settings.level, permutations=1
    ):
        if not np.isnan(one.estimate.estimate):
            yield (one.measure, None, None, one.modes), one.estimate
    if isinstance(space, Coordinates) and design.is_complete:
        yield ("landing_accuracy", None, None, ALL), _landing_accuracy(space, design, settings)


def _landing_accuracy(space: Coordinates, design: Design, settings: Settings) -> Estimate:
    """How often a point lands in its own mode, by the rule for tokens in their place."""
    reference = np.empty((design.n_prompts, design.n_modes), dtype=np.intp)
    reference[design.prompt, design.mode] = np.arange(design.n_points)
    fold = prompt_folds(design, settings.rng("placement"))
    found = assign("centroid", space.X, reference, design.prompt, fold)
    return found.accuracy(settings.level, design.clusters)
