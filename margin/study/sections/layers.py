"""Where in the network do the modes part?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import pandas as pd

from margin import figures
from margin.analysis.decoys import AboveDecoys, above_decoys
from margin.analysis.layers import LayerCurve, Onset, layer_curve
from margin.analysis.margins import Variant, leave_prompt_out_margin
from margin.analysis.space import Space
from margin.errors import MarginError
from margin.stats.design import Design
from margin.stats.estimate import Estimate
from margin.stats.intervals import t_interval
from margin.study.above import AboveRecord, cells
from margin.study.canvas import Canvas
from margin.study.notation import number
from margin.study.record import EstimateRecord, Record, Share, records
from margin.study.section import Fact, Section
from margin.study.sections.variants import VARIANTS, by_variant
from margin.study.spaces import space_of
from margin.study.study import HEADLINE, Study
from margin.study.table import Table, intervals, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MODE_SHARE = "mode's share"
DECOY_NOTE = (
    "Margins of the live tokens and of the decoy sets on the prompts both were asked of; each interval of "
    "what is above decoys is for one number by itself."
)
SHARE_NOTE = "Mode's share is that of the variance within prompts (epsilon squared, squared Euclidean)."


class LayerMargin(EstimateRecord):
    """Margin of one layer."""

    layer: int
    variant: str
    distance: str


class LayerSeparation(EstimateRecord):
    """A separation measure of one layer."""

    layer: int
    measure: str


class OnsetRecord(Record):
    """The layer where the modes part: from there on the margin stays above 0."""

    layer: int | None
    low: int | None
    high: int | None
    level: Share


class LayerDecoys(AboveRecord):
    """Margin of one layer beside those of the decoy sets; `estimate` is live less their mean."""

    layer: int
    variant: Variant
    distance: str


class LayersRecord(Record):
    """Margin and separation by layer."""

    curve: list[LayerMargin] = []
    separation: list[LayerSeparation] = []
    """The mode's share of the variance within prompts by layer; empty if prompts lack modes."""
    parting: OnsetRecord | None = None
    """The layer where the modes part."""
    half: int | None = None
    """The layer from which on the margin is at least half of the last layer's; null where that is not above
    0."""
    decoys: list[LayerDecoys] = []
    """The decoy sets' margins by layer, beside the live tokens'; empty without decoys."""


class LayersKeys(Record):
    layers: LayersRecord = LayersRecord()


def draw(study: Study, canvas: Canvas) -> Figure:
    """Margin by layer, and beside it the mode's share of the variance where it is known."""
    found = study.section(Layers)
    if found is None:
        raise MarginError("no layer curve can be drawn: collect the run with --layers all")
    notes = _marks(found.curve)
    margin, shares, sets = found.curve.to_frame(), found.curve.separation_frame(), found.sets()
    if shares.empty:
        fig = canvas.figure("single")
        figures.layer_curve(margin, fig.add_subplot(), series="variant", decoys=sets, notes=notes)
        return fig
    fig, (left, right) = canvas.panels(2, 2.8)
    figures.layer_curve(margin, left, series="variant", decoys=sets, notes=notes)
    title, axis = "Mode's share of the variance within prompts", "epsilon squared (at most 1)"
    figures.layer_curve(shares, right, title=title, ylabel=axis)
    return fig


@dataclass(frozen=True, eq=False)
class Layers(Section):
    """Margin and separation of every captured layer."""

    keys = LayersKeys
    figures = {"layers": draw}
    curve: LayerCurve
    decoys: Mapping[tuple[int, Variant], AboveDecoys]
    """By layer and variant of the margin; empty without decoys."""

    @classmethod
    def of(cls, study: Study) -> Layers | None:
        """None where fewer than two layers were captured."""
        run = study.run
        if len(run.layers) < 2:
            return None
        _, rows = space_of(run, f"layer:{run.layers[0]}")
        spaces = ((layer, space_of(run, f"layer:{layer}")[0]) for layer in sorted(run.layers))
        rng, level = study.settings.rng("layers"), study.settings.level
        curve = layer_curve(spaces, study.design_of(rows), rng, HEADLINE, level)
        return cls(curve, dict(_above(study, curve.layers)))

    def sets(self) -> pd.DataFrame | None:
        """What the decoy sets' margins range over, as `figures.layer_curve` draws it; None without decoys."""
        lines = [
            {"layer": layer, "variant": variant, "low": min(one.decoys), "high": max(one.decoys)}
            for (layer, variant), one in self.decoys.items()
        ]
        return pd.DataFrame(lines) if lines else None

    def record(self) -> LayersKeys:
        """Curve, separation and onset."""
        return LayersKeys(
            layers=LayersRecord(
                curve=records(LayerMargin, self.curve.to_frame()),
                separation=records(LayerSeparation, self.curve.separation_frame()),
                parting=OnsetRecord(**asdict(self.curve.onset)),
                half=self.curve.half,
                decoys=[
                    LayerDecoys.from_above(one, layer=layer, variant=variant, distance=HEADLINE)
                    for (layer, variant), one in self.decoys.items()
                ],
            )
        )

    def tables(self) -> Iterator[Table]:
        """One line a layer."""
        note = f"{_sentence(self.curve)} Bands hold for all layers at once."
        frame = by_variant(self.curve.to_frame(), ["layer"])
        shares = self.curve.separation_frame()
        if not shares.empty:
            note += f" {SHARE_NOTE}"
            found = dict(zip(shares["layer"], intervals(shares, signed=False), strict=True))
            frame[MODE_SHARE] = frame["layer"].map(found)
        yield table("layers", "By layer", note, frame, drawn=tuple(VARIANTS.values()))
        of_sets = [
            {"layer": layer, "variant": VARIANTS[variant], **cells(one)}
            for (layer, variant), one in self.decoys.items()
        ]
        title = "Layers above what any tokens give"
        yield table("layers-decoys", title, DECOY_NOTE, pd.DataFrame(of_sets), drawn=["above decoys"])

    def facts(self) -> Iterator[Fact]:
        """Where the modes part."""
        found = self.curve.onset
        value = "nowhere" if found.layer is None else f"layer {found.layer}"
        note = f"{found.level:.0%} interval {_between(found)}"
        if self.curve.half is not None:
            note += f"; half of the last layer's margin from layer {self.curve.half} on"
        yield Fact("the modes part at", value, note, sentence=_sentence(self.curve))


def _above(study: Study, layers: tuple[int, ...]) -> Iterator[tuple[tuple[int, Variant], AboveDecoys]]:
    """Margins of every layer above decoys, one layer in memory at a time."""
    if study.decoys is None:
        return
    design, level = study.decoys.design, study.settings.level
    for layer in layers:
        live, *sets = (
            _both(space, design, level) for space in study.decoys.spaces(study.run, f"layer:{layer}")
        )
        for variant, estimate in live.items():
            of_sets = [each[variant] for each in sets]
            yield (layer, variant), above_decoys(estimate, of_sets, level, design.clusters)


def _both(space: Space, design: Design, level: float) -> dict[Variant, Estimate]:
    """The margin by variant, of one set of tokens."""
    points: dict[Variant, Space] = {
        "leave_prompt_out": space,
        "prompt_centred": space.centred_by_prompt(design),
    }
    return {
        variant: t_interval(
            *leave_prompt_out_margin(each.distances(HEADLINE), design), level, over=design.clusters
        )
        for variant, each in points.items()
    }


def _between(found: Onset) -> str:
    ends = [f"layer {end}" if end is not None else "no layer" for end in (found.low, found.high)]
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def _sentence(curve: LayerCurve) -> str:
    """Where the margin is no longer 0, and where it is no longer small: two facts, many layers apart."""
    found, last = curve.onset, curve.leave_prompt_out[-1].estimate
    if found.layer is None:
        return "The modes part in no captured layer for good."
    said = (
        f"The modes part at layer {found.layer} ({found.level:.0%} interval {_between(found)}): "
        "from there on the margin stays above 0."
    )
    if curve.half is not None:
        said += f" Half of the last layer's {number(last)} is reached from layer {curve.half} on."
    return said


def _marks(curve: LayerCurve) -> list[str]:
    """The same two facts as notes below the curve."""
    first = curve.onset.high
    notes = [] if first is None else [f"leave-prompt-out: above 0 from layer {first} on"]
    if curve.half is not None:
        notes.append(f"half of its last value from layer {curve.half} on")
    return notes
