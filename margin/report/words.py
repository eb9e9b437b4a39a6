"""Numbers and findings in words, the same in every rendering."""

from __future__ import annotations

import math
from pathlib import Path

from margin.analysis.layers import Parting


def model_name(model: str) -> str:
    """The model as a title names it: a hub id as it stands, of a folder its name and not where it lies."""
    return Path(model).name if Path(model).is_absolute() else model


def number(value: float | None, *, signed: bool = True) -> str:
    """A number to three decimals (three digits where it is large); a dash where there is none."""
    if value is None or math.isnan(value):
        return "–"
    sign = "+" if signed else ""
    return f"{value:{sign}.3f}" if abs(value) < 1000 else f"{value:{sign}.3g}"


def interval(low: float | None, high: float | None, *, signed: bool = True) -> str:
    """The interval as "[low, high]", a one-sided one with an open end; a dash where none is valid."""
    missing = [end is None or math.isnan(end) for end in (low, high)]
    if all(missing):
        return "–"
    return f"[{number(low, signed=signed)}, {number(high, signed=signed)}]"


def parting(found: Parting) -> str:
    """Where the modes part, in a sentence."""
    if found.layer is None:
        return "The modes part in no captured layer for good."
    latest = "none" if found.high is None else str(found.high)
    return (
        f"The modes part at layer {found.layer} "
        f"({found.level:.0%} interval {found.low} to {latest}): from there on the band stays above 0."
    )
