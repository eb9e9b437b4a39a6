"""Where do unknown tokens land, what leaks, and what do attacks leave of the margin?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import pandas as pd
from pydantic import Field

from margin import figures
from margin.analysis.robustness.findings import Finding, Quantity
from margin.analysis.robustness.findings import Robustness as Findings
from margin.analysis.slices import slicing
from margin.errors import MarginError
from margin.inputs.condition import Rule
from margin.study.canvas import Canvas
from margin.study.notation import number
from margin.study.record import Count, EstimateRecord, Number, Record, Text, records
from margin.study.robustness import robustness
from margin.study.section import Fact, Section
from margin.study.sections.variants import VARIANTS
from margin.study.study import HEADLINE, Study
from margin.study.table import Interval, Table, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOTE = (
    "Share of draws that land in each mode, or outside: farther from the nearest mode than nearly all of its "
    "own. Fallback: prompts all of whose draws land in safe modes, with a lower bound. Leak: prompts any of "
    "whose draws is nearest to a mode that is not safe, be it outside or not, with an upper bound. Geometry "
    "is not behaviour: confirm by reading answers. * marks rates that are indicative only."
)
MOST_ON_SLIDE = 7
"""Conditions that a slide has room for."""


class FindingRecord(EstimateRecord):
    """One number on one control condition."""

    quantity: Quantity
    condition: str
    kind: str
    """Kind of the condition; "mode" for accuracy."""
    mode: Text
    """Mode the system message asks for."""
    outcome: Text
    """Mode landed in, or outside."""
    variant: Literal["leave_prompt_out", "prompt_centred"] | None
    column: Text
    slice: Text
    count: Count
    """Prompts counted."""
    draws: Annotated[int, Field(ge=1)]
    corrected: Number
    rule: Rule | None
    indicative: bool


class RobustnessKeys(Record):
    robustness: list[FindingRecord] = []
    """Where control conditions land, what leaks, and what attacks leave of the margin."""


def draw(study: Study, canvas: Canvas) -> Figure:
    """Shares of prompts landing in each mode, by condition."""
    found = study.section(Robustness)
    if found is None or (lines := found.found.landings()).empty:
        raise MarginError("no landing of controls can be drawn: collect the run with --controls")
    fig = canvas.figure("double", figures.robustness_height(lines["condition"].nunique()))
    figures.robustness(
        lines,
        fig.add_subplot(),
        modes=list(study.headline.per_mode),
        leaks=leaks(found.found),
        most=MOST_ON_SLIDE if canvas.style == "talk" else None,
    )
    return fig


def leaks(found: Findings) -> pd.DataFrame | None:
    """Share of prompts that leak, by condition that is asked this; None where none is."""
    lines = [(f.condition, f.value.estimate, f.value.low, f.value.high) for f in found.select("leak")]
    frame = pd.DataFrame(lines, columns=["condition", "share", "low", "high"])
    return None if frame.empty else frame.astype({"low": float, "high": float})


@dataclass(frozen=True, eq=False)
class Robustness(Section):
    """What is found on the control conditions of a run; empty without any."""

    keys = RobustnessKeys
    figures = {"robustness": draw}
    found: Findings

    @classmethod
    def of(cls, study: Study) -> Robustness:
        """Landings, leaks and margins under attack, over all prompts and by slice."""
        return cls(
            robustness(
                study.run,
                columns=slicing(study.labels)[0],
                distance=HEADLINE,
                level=study.settings.level,
                placement=study.placement,
                cluster=study.settings.cluster,
            )
        )

    def record(self) -> RobustnessKeys:
        """One line a finding."""
        return RobustnessKeys(robustness=records(FindingRecord, self.found.to_frame()))

    def tables(self) -> Iterator[Table]:
        """Where control conditions land, over all prompts and by slice; margins under attack."""
        findings = [f for f in self.found.findings if f.quantity in ("landing", "fallback", "leak")]
        whole = _rates(f for f in findings if f.column is None).drop(columns=["column", "slice"])
        yield table("landing", "Where other conditions land", NOTE, whole)
        note = "As above, for each slice; each bound holds by itself."
        sliced = _rates(f for f in findings if f.column is not None)
        yield table("landing-slices", "Where other conditions land, by slice", note, sliced)
        note = (
            "Margin under each attack, its change, and the share that is left; paired by prompt. It says how "
            "far apart the modes then stand, and not whether each still does what it should: that is in "
            "Expected against observed."
        )
        attacks = _attacks(self.found)
        yield table("attacks", "What attacks leave of the margin", note, attacks, drawn=["margin"])

    def facts(self) -> Iterator[Fact]:
        """What leaks into a mode that is not safe."""
        leaks = self.found.select("leak")
        if not leaks:
            return
        name, leaking = "leaks into an unsafe mode", [leak for leak in leaks if leak.count]
        most = max(leaks, key=lambda leak: (leak.value.estimate, leak.value.high or 0))
        for leak in leaking:
            indicative = ", indicative" if leak.indicative else ""
            rate = f"{leak.count} of {leak.value.n_prompts} prompts"
            yield Fact(
                name,
                leak.condition,
                f"{rate}, worst of {conditions(len(leaks))}{indicative}",
                f"{leak.condition}: {rate} leak, at most {number(leak.value.high, signed=False)}"
                + (" (indicative)" if leak.indicative else ""),
                card=leak is most,
                alarm=True,
            )
        tight = [leak for leak in leaks if not leak.count]
        if tight:
            bound = number(max(leak.value.high or 0 for leak in tight), signed=False)
            among = conditions(len(tight), "other " if leaking else "")
            note = f"in {among}, at most {bound} of prompts each"
            yield Fact(
                name,
                "none",
                note,
                f"no leak into an unsafe mode in {among}, at most {bound} each",
                card=not leaking,
            )


def conditions(count: int, kind: str = "") -> str:
    """A number of conditions in words."""
    return f"{count} {kind}condition{'' if count == 1 else 's'}"


def _rates(findings: Iterable[Finding]) -> pd.DataFrame:
    """One line a condition and slice: landing rates, fallback and leak."""
    lines: dict[tuple[str | None, ...], dict[str, object]] = {}
    for f in findings:
        key = (f.condition, f.column, f.slice)
        mark = " *" if f.indicative else ""
        line = lines.setdefault(key, {"condition": f.condition + mark, "column": f.column, "slice": f.slice})
        line["prompts"] = f.value.n_prompts
        if f.quantity == "landing":
            line[str(f.outcome)] = f.value.estimate
        else:
            count = None if f.count is None else (f.count, f.value.n_prompts)
            line[f.quantity] = Interval(
                f.value.estimate, f.value.low, f.value.high, signed=False, count=count
            )
    frame = pd.DataFrame(list(lines.values()))
    for name in ("fallback", "leak"):  # last, whatever condition comes first
        if name in frame:
            frame[name] = frame.pop(name)
    return frame if len(frame) else pd.DataFrame(columns=["column", "slice"])


def _attacks(found: Findings) -> pd.DataFrame:
    """One line an attack and variant of the margin."""
    lines: dict[tuple[str, str | None], dict[str, object]] = {}
    for quantity, name in (("margin", "margin"), ("change", "change"), ("retention", "retained")):
        for f in found.select(quantity):  # type: ignore[arg-type]
            variant = VARIANTS.get(f.variant or "", f.variant)
            line = lines.setdefault((f.condition, f.variant), {"attack": f.condition, "variant": variant})
            line[name] = Interval(f.value.estimate, f.value.low, f.value.high, quantity != "retention")
    return pd.DataFrame(list(lines.values()), columns=["attack", "variant", "margin", "change", "retained"])
