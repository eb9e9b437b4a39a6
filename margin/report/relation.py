"""What `margin relate` writes: relate.json, its Markdown, a table of the pairs, and the figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from rich.console import Console

from margin import figures
from margin.report.markdown import cell, table_lines
from margin.report.terminal import print_tables
from margin.run.files import csv_bytes, make_folder, remove_partial, write_atomic
from margin.run.seal import sealed
from margin.study.relation import Relation
from margin.study.relation_record import relation_record
from margin.study.relation_tables import sentences, tables
from margin.text import json_text, shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANELS = 6
"""Behaviours that one figure has room for."""


def to_json(found: Relation) -> str:
    """The text of relate.json, with its checksum."""
    return json_text(sealed(relation_record(found).model_dump()), indent=2, allow_nan=False) + "\n"


def to_markdown(found: Relation) -> str:
    """What was found as GitHub-flavoured Markdown: the sentences, then every table."""
    lines = ["# Does the margin tell what the model does?", ""]
    lines += [f"- {cell(sentence)}" for sentence in sentences(found)]
    for one in tables(found):
        if one.rows:
            lines += ["", *table_lines(one)]
    return "\n".join(lines) + "\n"


def print_relation(found: Relation, console: Console) -> None:
    """Print the sentences, then every table, the long ones cut."""
    for sentence in sentences(found):
        console.print(shown(sentence), highlight=False, markup=False)
    console.print()
    print_tables((one for one in tables(found) if one.rows), console)


def write_relation(found: Relation, out: Path) -> list[Path]:
    """Write relate.json, relate.md, pairs.csv and the figures into `out`; the paths written."""
    make_folder(out)
    remove_partial(out)
    texts = {
        out / "relate.json": to_json(found).encode(),
        out / "relate.md": to_markdown(found).encode(),
        out / "pairs.csv": csv_bytes(found.to_frame()),
    }
    with figures.style("paper"):
        for name, fig in _drawn(found).items():
            for suffix in ("png", "pdf"):
                texts[out / f"{name}.{suffix}"] = figures.rendered(fig, suffix)
    for path, content in texts.items():
        write_atomic(path, content)
    return list(texts)


def _drawn(found: Relation) -> dict[str, Figure]:
    """Figures by name; none where there is nothing to draw."""
    drawn = {}
    if found.candidates:
        drawn["relate"] = scatters(found, found.candidates[0].margin, found.judged_by[:PANELS])
    curves = [one for one in found.within if np.isfinite(one.auc.estimate)]
    if curves:
        fig = figures.figure("single")
        best = max(found.areas, key=lambda name: found.areas[name].estimate)
        lines = [one.curve.assign(run=one.run) for one in curves if one.margin == best]
        figures.risk_coverage(pd.concat(lines), fig.add_subplot())
        drawn["risk-coverage"] = fig
    return drawn


def scatters(found: Relation, margin: str, behaviours: tuple[str, ...]) -> Figure:
    """One margin against some behaviours, a panel each, every checkpoint with its intervals."""
    columns = min(len(behaviours), 3)
    rows = -(-len(behaviours) // columns)
    fig = figures.figure("single" if columns == 1 else "double", 2.3 * rows)
    axes = fig.subplots(rows, columns, squeeze=False).flat
    pairs = {(pair.margin, pair.behaviour): pair.association.spearman for pair in found.pairs}
    x = found.values(margin)
    for ax, behaviour in zip(axes, behaviours, strict=False):
        y = found.values(behaviour)
        lines = pd.DataFrame(
            {
                **{f"x{end}": x[name] for end, name in ENDS.items()},
                **{f"y{end}": y[name] for end, name in ENDS.items()},
            }
        ).dropna(subset=["x", "y"])
        rank = pairs[margin, behaviour]
        bounds = "" if rank.low is None else f" [{rank.low:.2f}, {rank.high:.2f}]"
        figures.association(
            lines, ax, names=(margin.replace("_", "-"), behaviour), title=f"ρ = {rank.estimate:.2f}{bounds}"
        )
    for ax in list(fig.axes)[len(behaviours) :]:
        ax.remove()
    return fig


ENDS = {"": "estimate", "_low": "low", "_high": "high"}
"""What the columns of a figure are called, and those of a number's table."""
