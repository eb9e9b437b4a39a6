"""What a trace found, as tables: a line a layer."""

from __future__ import annotations

import pandas as pd

from margin.study.record import EstimateRecord
from margin.study.table import Interval
from margin.study.trace_file import ALL, TraceRecord


def by_layer(found: TraceRecord) -> pd.DataFrame:
    """One line a layer: patched and transfer, and where attention was cut kept and margin."""
    cut = {line.layer: line for line in found.cut}
    return pd.DataFrame(
        [
            {
                "layer": line.layer,
                "patched": cell(line.share),
                "transfer": cell(line.transfer),
                "cut, kept": cell(cut[line.layer].kept) if line.layer in cut else None,
                "cut, margin": cell(cut[line.layer].margin, signed=True) if line.layer in cut else None,
            }
            for line in found.patch
            if line.donor == ALL
        ]
    )


def above(found: TraceRecord) -> pd.DataFrame:
    """One line a layer: the effect of the live tokens, of the decoy sets, and the difference."""
    return pd.DataFrame(
        [
            {
                "layer": line.layer,
                "effect": line.live,
                "decoys, least": min(line.decoys),
                "decoys, largest": max(line.decoys),
                "above decoys": Interval(line.estimate, line.low, line.high),
                "rank p": line.rank_p,
                "prompts needed": None if line.n_needed is None else str(line.n_needed),
            }
            for line in found.above_decoys
            if line.measure == "effect"
        ]
    )


def steered(found: TraceRecord) -> pd.DataFrame:
    """One line a layer, kind of direction and dose, the mean over pairs."""
    return pd.DataFrame(
        [
            {
                "layer": line.layer,
                "direction": "the modes'" if line.control == "direction" else line.control,
                "dose": line.dose,
                "lands where steered": cell(line.share),
                "keeps its mode": cell(line.kept),
                "divergence": None if line.divergence is None else cell(line.divergence),
            }
            for line in found.steer
            if line.pair == ALL
        ]
    )


def controls(found: TraceRecord) -> pd.DataFrame:
    """One line a layer: share of rows that each control moves."""
    lines: dict[int, dict[str, object]] = {}
    for its in found.controls:
        name = "another prompt, same mode" if its.control == "same mode" else "a random vector"
        lines.setdefault(its.layer, {"layer": its.layer})[name] = cell(its.moved)
    return pd.DataFrame(list(lines.values()))


def cell(estimate: EstimateRecord, *, signed: bool = False) -> Interval:
    """A number with its interval, as a table shows it."""
    return Interval(estimate.estimate, estimate.low, estimate.high, signed)
