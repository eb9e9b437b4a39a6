"""Where in the network do the modes part?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import figures
from margin.analysis.layers import LayerCurve, Onset, layer_curve
from margin.errors import MarginError
from margin.study.canvas import Canvas
from margin.study.record import EstimateRecord, Record, Share, records
from margin.study.section import Fact, Section
from margin.study.sections.variants import VARIANTS, by_variant
from margin.study.spaces import space_of
from margin.study.study import HEADLINE, Study
from margin.study.table import Table, intervals, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MODE_SHARE = "mode's share"
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


class LayersRecord(Record):
    """Margin and separation by layer."""

    curve: list[LayerMargin] = []
    separation: list[LayerSeparation] = []
    """The mode's share of the variance within prompts by layer; empty if prompts lack modes."""
    parting: OnsetRecord | None = None
    """The layer where the modes part."""


class LayersKeys(Record):
    layers: LayersRecord = LayersRecord()


def draw(study: Study, canvas: Canvas) -> Figure:
    """Margin by layer, and beside it the mode's share of the variance where it is known."""
    found = study.section(Layers)
    if found is None:
        raise MarginError("no layer curve can be drawn: collect the run with --layers all")
    margin, shares = found.curve.to_frame(), found.curve.separation_frame()
    if shares.empty:
        fig = canvas.figure("single")
        figures.layer_curve(margin, fig.add_subplot(), series="variant")
        return fig
    fig = canvas.figure("double", 2.6)
    left, right = fig.subplots(1, 2)
    figures.layer_curve(margin, left, series="variant")
    title, axis = "Mode's share of the variance within prompts", "epsilon squared (at most 1)"
    figures.layer_curve(shares, right, title=title, ylabel=axis)
    return fig


@dataclass(frozen=True, eq=False)
class Layers(Section):
    """Margin and separation of every captured layer."""

    keys = LayersKeys
    figures = {"layers": draw}
    curve: LayerCurve

    @classmethod
    def of(cls, study: Study) -> Layers | None:
        """None where fewer than two layers were captured."""
        run = study.run
        if len(run.layers) < 2:
            return None
        _, rows = space_of(run, f"layer:{run.layers[0]}")
        spaces = ((layer, space_of(run, f"layer:{layer}")[0]) for layer in sorted(run.layers))
        rng, level = study.settings.rng("layers"), study.settings.level
        return cls(layer_curve(spaces, study.design_of(rows), rng, HEADLINE, level))

    def record(self) -> LayersKeys:
        """Curve, separation and onset."""
        return LayersKeys(
            layers=LayersRecord(
                curve=records(LayerMargin, self.curve.to_frame()),
                separation=records(LayerSeparation, self.curve.separation_frame()),
                parting=OnsetRecord(**asdict(self.curve.onset)),
            )
        )

    def tables(self) -> Iterator[Table]:
        """One line a layer."""
        note = f"{_sentence(self.curve.onset)} Bands hold for all layers at once."
        frame = by_variant(self.curve.to_frame(), ["layer"])
        shares = self.curve.separation_frame()
        if not shares.empty:
            note += f" {SHARE_NOTE}"
            found = dict(zip(shares["layer"], intervals(shares, signed=False), strict=True))
            frame[MODE_SHARE] = frame["layer"].map(found)
        yield table("layers", "By layer", note, frame, drawn=tuple(VARIANTS.values()))

    def facts(self) -> Iterator[Fact]:
        """Where the modes part."""
        found = self.curve.onset
        value = "nowhere" if found.layer is None else f"layer {found.layer}"
        note = f"{found.level:.0%} interval {_between(found)}"
        yield Fact("the modes part at", value, note, sentence=_sentence(found))


def _between(found: Onset) -> str:
    ends = [f"layer {end}" if end is not None else "no layer" for end in (found.low, found.high)]
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def _sentence(found: Onset) -> str:
    if found.layer is None:
        return "The modes part in no captured layer for good."
    return (
        f"The modes part at layer {found.layer} ({found.level:.0%} interval {_between(found)}): "
        "from there on the margin stays above 0."
    )
