"""What probes found, as tables that a person reads in ten seconds."""

from __future__ import annotations

import pandas as pd
from rich.console import Console
from rich.text import Text

from margin.report.grid import Grid
from margin.study.notation import number, with_interval
from margin.study.probe_file import ProbeRecord
from margin.study.sections.probes import SHOWN, above_any, decides, layer_table, transfer_tables
from margin.study.table import Interval
from margin.text import shown

SHORT = {SHOWN["calibration_error"]: "ECE"}
WITH_INTERVAL = (SHOWN["accuracy"], SHOWN["selectivity"])


def print_probes(probes: ProbeRecord, model: str, console: Console) -> None:
    """Print what probes find in each layer, the earliest that decides, and what carries over."""
    settings = probes.settings
    console.print(
        Text.assemble(
            ("Mode probes", "bold"),
            f"  {shown(model)}\n{probes.n_prompts} prompts x {len(probes.modes)} modes, chance "
            f"{probes.chance:.3f}; {settings.folds} folds of whole prompts, {settings.level:.0%} "
            "intervals over prompts\n",
        ),
        highlight=False,
    )
    layers = layer_table(probes)
    table = Grid([(SHORT.get(column, column), True) for column in layers])
    for layer, *values in layers.itertuples(index=False):
        deciding = layer == probes.deciding.layer
        cells = [
            _text(value, whole=name in WITH_INTERVAL)
            for name, value in zip(layers.columns[1:], values, strict=True)
        ]
        table.add(f"{'* ' if deciding else ''}{layer}", *cells, style="bold" if deciding else "")
    console.print(table, highlight=False)
    console.print(f"\n* {decides(probes)}", highlight=False, markup=False)
    if (sentence := above_any(probes)) is not None:
        console.print(sentence, highlight=False, markup=False)
    for title, lines in transfer_tables(probes).items():
        console.print(f"\n{shown(title)}: fitted (down), tried (across)", highlight=False, markup=False)
        console.print(_matrix(lines), highlight=False)


def _matrix(lines: pd.DataFrame) -> Grid:
    """Accuracy, sources down, targets across; with intervals where they fit on a line."""
    targets = list(dict.fromkeys(lines["target"]))
    table = Grid([("", False), *((shown(target), True) for target in targets)])
    for source, line in lines.groupby("source", sort=False):
        values = line.set_index("target")["accuracy"].loc[targets]
        table.add(shown(source), *(_text(value, whole=len(targets) <= 3) for value in values))
    return table


def _text(value: Interval, whole: bool) -> str:
    if whole:
        return with_interval(value.estimate, value.low, value.high, signed=value.signed) or "–"
    return number(value.estimate, signed=value.signed)
