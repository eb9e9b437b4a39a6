"""What a trace found, as tables that a person reads in ten seconds."""

from __future__ import annotations

import math

import pandas as pd
from rich.console import Console
from rich.text import Text

from margin.report.grid import Grid
from margin.study.notation import number, with_interval
from margin.study.sections.trace import TraceSection, decides
from margin.study.table import Interval
from margin.study.trace_file import TraceRecord
from margin.study.trace_tables import above, by_layer, steered
from margin.text import shown


def print_trace(found: TraceRecord, model: str, console: Console) -> None:
    """Print where patched and cut rows land in each layer, what decoys give, and what steering does."""
    console.print(
        Text.assemble(
            ("What decides the mode", "bold"),
            f"  {shown(model)}\n{found.n_prompts} prompts x {len(found.modes)} modes, "
            f"{len(found.layers)} layers; unpatched, "
            f"{number(found.accuracy.estimate, signed=False)} of the rows land in their own mode\n",
        )
    )
    console.print(_table(by_layer(found)))
    if found.above_decoys:
        console.print("\nHow far a patch carries the logits (1: to another mode), above meaningless tokens\n")
        console.print(_table(above(found)))
    if found.steer:
        lines = steered(found)
        console.print("\nSteered along the difference between modes, and along others of its length\n")
        console.print(_table(lines[lines["dose"] == lines["dose"].median()]))
    console.print(f"\n{decides(TraceSection(found))}")
    for reason in (found.way.replay_reason, found.way.cut_reason):
        console.print(shown(reason), style="dim")


def _table(lines: pd.DataFrame) -> Grid:
    """A table with the interval of its first column that has one; the report shows all."""
    lines = lines.dropna(axis="columns", how="all")
    whole = next((name for name in lines if isinstance(lines[name].iloc[0], Interval)), None)
    table = Grid([(str(column), True) for column in lines])
    for values in lines.itertuples(index=False):
        cells = zip(lines.columns, values, strict=True)
        table.add(*(_text(value, name == whole) for name, value in cells))
    return table


def _text(value: object, whole: bool) -> str:
    if isinstance(value, Interval):
        if whole:
            return with_interval(value.estimate, value.low, value.high, signed=value.signed) or "–"
        return number(value.estimate, signed=value.signed)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    return number(value, signed=False) if isinstance(value, float) else shown(value)
