"""What in the model decides the mode?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from margin import figures
from margin.errors import MarginError
from margin.study.canvas import Canvas
from margin.study.record import EstimateRecord, Record
from margin.study.section import Fact, Section
from margin.study.sections.probes import Probes
from margin.study.study import Study
from margin.study.table import Table, table
from margin.study.trace_file import ALL, HandoverRecord, TraceRecord, read_trace
from margin.study.trace_tables import above, by_layer, cell, controls, steered

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOTE = (
    "Patched: the last position's state after a layer is that of the same prompt under another mode: "
    "share of rows that land there. Transfer: how far their logits go there (0 not at all, 1 whole). Cut: "
    "after the layer nothing attends to the token: share of rows that keep their mode, and their margin. "
    "Bands hold for all layers at once."
)
ABOVE_NOTE = (
    "The same patches between meaningless tokens, set by set. Effect: how far the logits go towards the "
    "donor's, where 1 lies between two live modes; above decoys: less the sets' mean, with bands over layers."
)
STEER_NOTE = (
    "The mean difference between two modes' states, found on other prompts, added to the last position's "
    "state; mean over pairs of modes. The other directions have its length. Divergence: of the next token's "
    "distribution under the first mode, in nats. Each interval is for one number by itself."
)
CONTROL_NOTE = "Rows that leave their mode though nothing of another mode was put in. On {n} prompts."
ANSWERS_NOTE = "Answers that the refusal matcher finds to refuse, with the direction added at every position."
MISSING = "no trace can be drawn: margin trace MODEL ... --out RUN makes one"


class TraceKeys(Record):
    trace: TraceRecord | None = None
    """What margin trace found (trace.json); null where the run was not traced."""


def draw(study: Study, canvas: Canvas) -> Figure:
    """Patched and cut rows by layer, the probe and decoys behind; beside it how far patches carry."""
    section = study.section(TraceSection)
    if section is None:
        raise MarginError(MISSING)
    found, probes = section.found, study.section(Probes)
    curves = [{"layer": p.layer, "curve": "patched", **_ends(p.share)} for p in found.patch if p.donor == ALL]
    curves += [{"layer": c.layer, "curve": "cut", **_ends(c.kept)} for c in found.cut]
    probe = None
    if probes is not None:
        curve = [line for line in probes.found.curve if line.quantity == "accuracy"]
        probe = pd.DataFrame([{"layer": line.layer, "estimate": line.estimate} for line in curve])
    between = found.handover.low, found.handover.high
    decoys = {measure: _decoy_range(found, measure) for measure in ("share", "effect")}
    fig, axes = canvas.panels(1 if decoys["effect"] is None else 2, 3.0)
    figures.trace_curves(
        pd.DataFrame(curves),
        axes[0],
        decoys=decoys["share"],
        probe=probe,
        handover=None if None in between else (float(between[0] or 0), float(between[1] or 0)),
    )
    if decoys["effect"] is not None:
        live = pd.DataFrame(
            [
                {"layer": line.layer, "estimate": line.live}
                for line in found.above_decoys
                if line.measure == "effect"
            ]
        )
        figures.trace_effect(live, axes[1], decoys=decoys["effect"])
    return fig


def draw_dose(study: Study, canvas: Canvas) -> Figure:
    """Where steered rows land by dose, a panel a layer."""
    section = study.section(TraceSection)
    if section is None or not section.found.steer:
        raise MarginError(MISSING if section is None else "no dose can be drawn: the run was not steered")
    lines = pd.DataFrame(
        [
            {"layer": line.layer, "dose": line.dose, "control": line.control, **_ends(line.share)}
            for line in section.found.steer
            if line.pair == ALL and line.control != "projected out"
        ]
    )
    layers = sorted(lines["layer"].unique())
    across = 1 if canvas.is_narrow else 2
    rows = -(-len(layers) // across)
    fig = canvas.figure("double", 2.4 * rows + 0.4, slides=-(-rows // 2))
    axes = list(fig.subplots(rows, across, squeeze=False).flat)
    for ax, layer in zip(axes, layers, strict=False):
        of_layer = lines[lines["layer"] == layer]
        figures.dose_response(of_layer, ax, title=f"Steered after layer {layer}", legend=False)
        fig.supxlabel(ax.get_xlabel(), fontsize=ax.xaxis.label.get_fontsize())
        fig.supylabel(ax.get_ylabel(), fontsize=ax.yaxis.label.get_fontsize())
        ax.set(xlabel="", ylabel="")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    for ax in axes[len(layers) :]:
        ax.set_visible(False)
    return fig


@dataclass(frozen=True, eq=False)
class TraceSection(Section):
    """What `margin trace` found."""

    keys = TraceKeys
    figures = {"trace": draw, "dose": draw_dose}
    found: TraceRecord
    readable: int | None = None
    """The layer by which probes read the mode, where there are any."""

    @classmethod
    def of(cls, study: Study) -> TraceSection | None:
        """None where the run was not traced."""
        found, probes = read_trace(study.run), study.section(Probes)
        if found is None:
            return None
        return cls(found, None if probes is None else probes.found.deciding.layer)

    def record(self) -> TraceKeys:
        """trace.json as it stands."""
        return TraceKeys(trace=self.found)

    def tables(self) -> Iterator[Table]:
        """By layer; above decoys; steering; controls; answers."""
        yield table(
            "trace", "What decides the mode", f"{decides(self)} {NOTE}", by_layer(self.found), ["patched"]
        )
        if self.found.above_decoys:
            yield table(
                "trace-decoys", "Patched, above decoys", ABOVE_NOTE, above(self.found), ["above decoys"]
            )
        if self.found.steer:
            yield table("steer", "Steered", STEER_NOTE, steered(self.found), drawn=["lands where steered"])
        if self.found.controls:
            n = self.found.controls[0].moved.n_prompts
            yield table(
                "trace-controls", "Controls of the patch", CONTROL_NOTE.format(n=n), controls(self.found)
            )
        if self.found.answers:
            frame = pd.DataFrame(
                [
                    {"layer": its.layer, "pair": its.pair, "dose": its.dose, "refused": cell(its.refused)}
                    for its in self.found.answers
                ]
            )
            yield table("steered-answers", "Steered answers", ANSWERS_NOTE, frame)

    def facts(self) -> Iterator[Fact]:
        """From which layer on the mode is readable, and from which the state decides it."""
        found = self.found.handover
        value = "nowhere" if found.layer is None else f"layer {found.layer}"
        yield Fact("decisive from", value, _interval(found), decides(self))


def decides(section: TraceSection) -> str:
    """From which layer on the mode is readable and decisive, in one sentence or two."""
    found, cut, beyond = section.found.handover, section.found.cut_handover, section.found.beyond_decoys
    readable = "" if section.readable is None else f"readable from layer {section.readable}, "
    if found.layer is None:
        said = f"The mode is {readable}decided by the last position's state after no layer."
    else:
        said = (
            f"The mode is {readable}decisive from layer {found.layer} ({_interval(found)}): a state patched "
            "there lands with its donor in more than half of the rows."
        )
    if found.n_prompts is not None:
        said += f" Some {found.n_prompts:,} prompts would settle the layer."
    if cut is not None:
        where = "after no layer" if cut.layer is None else f"from layer {cut.layer} on ({_interval(cut)})"
        said += f" Cut off from the token {where}, {cut.above:.0%} or more keep their mode."
    if beyond is not None:
        where = "in no layer" if beyond.high is None else f"shown from layer {beyond.high} on"
        said += f" An effect beyond that of meaningless tokens is {where}."
    return said


def _interval(found: HandoverRecord) -> str:
    ends = [f"layer {end}" if end is not None else "no layer" for end in (found.low, found.high)]
    return f"{found.level:.0%} interval {ends[0] if ends[0] == ends[1] else ' to '.join(ends)}"


def _ends(estimate: EstimateRecord) -> dict[str, float | None]:
    return {"estimate": estimate.estimate, "low": estimate.low, "high": estimate.high}


def _decoy_range(found: TraceRecord, measure: str) -> pd.DataFrame | None:
    lines = [
        {"layer": line.layer, "low": min(line.decoys), "high": max(line.decoys)}
        for line in found.above_decoys
        if line.measure == measure
    ]
    return pd.DataFrame(lines) if lines else None
