"""Can the mode be read off the layers?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from margin import figures
from margin.errors import MarginError
from margin.study.above import cells
from margin.study.canvas import Canvas
from margin.study.notation import with_interval
from margin.study.probe_file import ProbeRecord, read_probes
from margin.study.record import Record
from margin.study.section import Fact, Section
from margin.study.sections.decoys import NO_MORE
from margin.study.study import Study
from margin.study.table import Table, intervals, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = {
    "accuracy": "accuracy",
    "auc": "AUC",
    "calibration_error": "calibration error",
    "control_accuracy": "control",
    "selectivity": "selectivity",
}
"""Numbers of a layer that tables show, and what they are called there; the rest is in the record."""
NOTE = (
    "Read by logistic regression from prompts it was not fitted on; chance is {chance:.3f}. Control: the "
    "same probe on random labels of prompts (Hewitt and Liang, 2019); selectivity: accuracy less that of the "
    "control. Each interval is for one number by itself."
)
ABOVE = "above decoys"
DECOY_NOTE = (
    "The same probe on the live tokens and on each set of decoys, on the prompts both were asked of, and the "
    "difference with its interval over prompts and sets: what training added to what any token shows."
)
DIRECTIONS = {"mean_difference": "d′ along the difference of means", "lda": "d′ along the discriminant"}
"""Kinds of direction, and what tables call the d' along them."""
DIRECTION_NOTE = (
    "Mean difference of two modes over their standard deviation, along a direction found on other prompts; "
    "and the cosine between the two directions, which noise brings nearer to 0."
)
TRANSFER_NOTE = (
    "Share of rows classified correctly by probes fitted in one place (source), tried in another (target)."
)


class ProbesKeys(Record):
    probes: ProbeRecord | None = None
    """What margin probe found in this run (probe.json); null where it was not probed."""


def draw(study: Study, canvas: Canvas) -> Figure:
    """Accuracy and selectivity by layer."""
    found = study.section(Probes)
    if found is None:
        raise MarginError("no probes can be drawn: margin probe RUN makes them")
    fig = canvas.figure("single")
    curve = pd.DataFrame([line.model_dump() for line in found.found.curve])
    figures.probe_curve(curve, fig.add_subplot(), chance=found.found.chance)
    return fig


@dataclass(frozen=True, eq=False)
class Probes(Section):
    """What `margin probe` found."""

    keys = ProbesKeys
    figures = {"probes": draw}
    found: ProbeRecord

    @classmethod
    def of(cls, study: Study) -> Probes | None:
        """None where the run was not probed."""
        found = read_probes(study.run)
        return None if found is None else cls(found)

    def record(self) -> ProbesKeys:
        """probe.json as it stands."""
        return ProbesKeys(probes=self.found)

    def tables(self) -> Iterator[Table]:
        """By layer; directions between modes; transfer."""
        note = f"{NOTE.format(chance=self.found.chance)} {decides(self.found)}"
        yield table("probes", "Mode probes", note, layer_table(self.found), drawn=["accuracy"])
        if self.found.above_decoys:
            title = "Mode probes above what any tokens give"
            yield table("probes-decoys", title, DECOY_NOTE, decoys_table(self.found), drawn=[ABOVE])
        for title, lines in direction_tables(self.found).items():
            yield table("directions", title, DIRECTION_NOTE, lines)
        for i, (title, lines) in enumerate(transfer_tables(self.found).items()):
            yield table(f"transfer-{i}", title, f"{TRANSFER_NOTE}", lines, drawn=["accuracy"])

    def facts(self) -> Iterator[Fact]:
        """The earliest layer that decides, and whether the last reads live tokens better than any."""
        yield Fact("probes", "", sentence=decides(self.found), card=False)
        if (sentence := above_any(self.found)) is not None:
            yield Fact("probes above decoys", "", sentence=sentence, card=False)


def layer_table(probes: ProbeRecord) -> pd.DataFrame:
    """One line a layer: layer, and an interval for each of `SHOWN`, by the names of its values."""
    scores = _lines(probes.scores)
    overall = scores[scores["of"].isna()].set_index("layer")
    found = {}
    for quantity, name in SHOWN.items():
        lines = overall[overall["quantity"] == quantity]
        if len(lines):
            found[name] = pd.Series(intervals(lines, signed=quantity == "selectivity"), lines.index)
    return pd.DataFrame(found).reset_index()


def decoys_table(probes: ProbeRecord) -> pd.DataFrame:
    """One line a layer and number: layer, what is read, and the cells of what is above decoys."""
    return pd.DataFrame(
        [{"layer": one.layer, "read": SHOWN[one.quantity], **cells(one)} for one in probes.above_decoys]
    )


def above_any(probes: ProbeRecord) -> str | None:
    """Whether the last layer reads live tokens better than decoys, in a sentence; None without decoys."""
    of_last = [one for one in probes.above_decoys if one.quantity == "accuracy"]
    if not of_last:
        return None
    one = of_last[-1]
    bounds = with_interval(one.estimate or 0.0, one.low, one.high)
    more = "" if one.low is not None and one.low > 0 else f": {NO_MORE}"
    sets = f"that on {one.sets} sets of decoys"
    return f"At layer {one.layer} the probe's accuracy is {bounds} above {sets}{more}."


def direction_tables(probes: ProbeRecord) -> dict[str, pd.DataFrame]:
    """By title: one line a pair of modes at the last layer, with d' along both kinds of direction and the
    cosine between the two."""
    scores = _lines(probes.scores)
    layer = int(scores["layer"].max())
    lines = scores[(scores["layer"] == layer) & (scores["quantity"] == "d_prime")]
    kinds = lines["of"].str.split(" ", n=1, expand=True)
    cosine = {(line.first, line.second): line.cosine for line in probes.cosines if line.layer == layer}
    found = pd.DataFrame({"modes": list(dict.fromkeys(kinds[1]))})
    for kind, name in DIRECTIONS.items():
        of_kind = lines[kinds[0] == kind].set_index(kinds[1][kinds[0] == kind]).loc[found["modes"]]
        found[name] = intervals(of_kind, signed=False)
    along = [(f"mean_difference {pair}", f"lda {pair}") for pair in found["modes"]]
    found["cosine"] = pd.Series([cosine[both] for both in along], dtype="float64")
    return {f"Directions between modes, layer {layer}": found}


def transfer_tables(probes: ProbeRecord) -> dict[str, pd.DataFrame]:
    """By title: one line a source and target, with source, target, accuracy (an interval) and prompts."""
    found = {}
    if probes.transfer:
        for (column, layer), part in _lines(probes.transfer).groupby(["column", "layer"], sort=False):
            lines = part[["source", "target"]].assign(
                accuracy=intervals(part, signed=False), prompts=part["n_prompts"]
            )
            found[f"Probe transfer by {column}, layer {layer}"] = lines
    return found


def _lines(found: Sequence[Record]) -> pd.DataFrame:
    """Records as a table, what is null as NaN."""
    lines = pd.DataFrame([line.model_dump() for line in found])
    return lines.astype(dict.fromkeys(("estimate", "low", "high"), "float64"))


def decides(probes: ProbeRecord) -> str:
    """The earliest layer that decides, in a sentence, with the rule."""
    found = probes.deciding
    if found.layer is None:
        return f"No layer decides: not even the best, layer {found.best}, is shown to be above chance."
    between = f"layer {found.earliest} to {found.layer}"
    if found.earliest == found.layer:
        between = f"layer {found.layer}"
    interval = f"{found.level:.0%} interval {between}"
    return f"The mode is decided by layer {found.layer} ({interval}): {found.rule}."
