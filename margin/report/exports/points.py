"""The points of a run in two dimensions, as a table that an atlas of embeddings takes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from margin.figures.projection import Method
from margin.report.report import Report
from margin.run.files import make_folder, parquet_bytes, write_private
from margin.study.sections.points import Points

NAME = "points.parquet"
OWN = ("id", "prompt_id", "mode", "x", "y", "x_centred", "y_centred", "prompt")
"""Columns that are not slices."""


def point_table(report: Report, method: Method, *, text: bool = False) -> pd.DataFrame:
    """One line a point: id, prompt_id, mode, x, y, the same prompt-centred, and the slices of its prompt.

    With `text` the prompt, too. A slice that is called as another column is called "slice: NAME".

    Raises
    ------
    MarginError : points that cannot be projected so; what umap needs is not installed.
    """
    points = report.study.section(Points)
    assert points is not None
    plain, centred = points.projected(report.study, method, most=len(points.modes))
    table = plain.table().rename(columns={"prompt": "prompt_id"})
    table[["x_centred", "y_centred"]] = centred.coordinates
    table.insert(0, "id", table["prompt_id"] + "/" + table["mode"])
    prompts = report.run.prompts.assign(id=report.run.prompts["id"].astype(str)).set_index("id")
    # Whatever is another for every prompt is no slice but a text or a name: a target, an answer.
    slices = [one.column for one in report.slices if prompts[one.column].duplicated().any()]
    kept = {column: f"slice: {column}" if column in OWN else column for column in slices}
    wanted = [*kept, *(["prompt"] if text else [])]
    return table.join(prompts[wanted].rename(columns=kept), on="prompt_id")


def write_points(report: Report, method: Method, out: Path, *, text: bool = False) -> Path:
    """Write the table as Parquet, readable by its owner only: it says which point is which prompt's, so that
    tokens can be found from it (SECURITY.md). UnwritableError, or as `point_table`."""
    data = parquet_bytes(point_table(report, method, text=text))
    make_folder(out)
    write_private(out / NAME, data)
    return out / NAME
