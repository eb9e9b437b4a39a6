"""What probes found, as tables and a sentence, the same in every rendering."""

from __future__ import annotations

import pandas as pd

from margin.report.report import Record
from margin.study.table import intervals

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
DIRECTIONS = {"mean_difference": "d′ along the difference of means", "lda": "d′ along the discriminant"}
"""Kinds of direction, and what tables call the d' along them."""
DIRECTION_NOTE = (
    "Mean difference of two modes over their standard deviation, along a direction found on other prompts; "
    "and the cosine between the two directions, which noise brings nearer to 0."
)
TRANSFER_NOTE = (
    "Share of rows told rightly by probes fitted in one place (source), tried in another (target)."
)


def layer_table(probes: Record) -> pd.DataFrame:
    """One line a layer: layer, and an interval for each of `SHOWN`, by the names of its values."""
    scores = _numbers(pd.DataFrame(probes["scores"]))
    overall = scores[scores["of"].isna()].set_index("layer")
    found = {}
    for quantity, name in SHOWN.items():
        lines = overall[overall["quantity"] == quantity]
        if len(lines):
            found[name] = pd.Series(intervals(lines, signed=quantity == "selectivity"), lines.index)
    return pd.DataFrame(found).reset_index()


def direction_tables(probes: Record) -> dict[str, pd.DataFrame]:
    """By title: one line a pair of modes at the last layer, with d' along both kinds of direction and the
    cosine between the two."""
    scores = _numbers(pd.DataFrame(probes["scores"]))
    layer = int(scores["layer"].max())
    lines = scores[(scores["layer"] == layer) & (scores["quantity"] == "d_prime")]
    kinds = lines["of"].str.split(" ", n=1, expand=True)
    cosine = {
        (line["first"], line["second"]): line["cosine"]
        for line in probes["cosines"]
        if line["layer"] == layer
    }
    table = pd.DataFrame({"modes": list(dict.fromkeys(kinds[1]))})
    for kind, name in DIRECTIONS.items():
        of_kind = lines[kinds[0] == kind].set_index(kinds[1][kinds[0] == kind]).loc[table["modes"]]
        table[name] = intervals(of_kind, signed=False)
    along = [(f"mean_difference {pair}", f"lda {pair}") for pair in table["modes"]]
    table["cosine"] = pd.Series([cosine[both] for both in along], dtype="float64")
    return {f"Directions between modes, layer {layer}": table}


def transfer_tables(probes: Record) -> dict[str, pd.DataFrame]:
    """By title: one line a source and target, with source, target, accuracy (an interval) and prompts."""
    lines = pd.DataFrame(probes["transfer"])
    found = {}
    if len(lines):
        for (column, layer), part in _numbers(lines).groupby(["column", "layer"], sort=False):
            table = part[["source", "target"]].assign(
                accuracy=intervals(part, signed=False), prompts=part["n_prompts"]
            )
            found[f"Probe transfer by {column}, layer {layer}"] = table
    return found


def _numbers(lines: pd.DataFrame) -> pd.DataFrame:
    """The lines with what is null in JSON as NaN."""
    return lines.astype(dict.fromkeys(("estimate", "low", "high"), "float64"))


def note(probes: Record) -> str:
    """What the numbers of a layer are, and which layer decides."""
    return f"{NOTE.format(chance=probes['chance'])} {decides(probes)}"


def decides(probes: Record) -> str:
    """The earliest layer that decides, in a sentence, with the rule."""
    found = probes["deciding"]
    if found["layer"] is None:
        return f"No layer decides: not even the best, layer {found['best']}, is shown to be above chance."
    between = f"layer {found['earliest']} to {found['layer']}"
    if found["earliest"] == found["layer"]:
        between = f"layer {found['layer']}"
    interval = f"{found['level']:.0%} interval {between}"
    return f"The mode is decided by layer {found['layer']} ({interval}): {found['rule']}."
