"""The answers of a run on disk: one table, in parts as long as collecting goes on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd

from margin.run.files import make_folder, parquet_bytes, parquet_table, write_atomic
from margin.run.run_tables import ANSWERS

PARTS = "answers"
"""Folder of the answers to each shard's rows, until they are one file."""


def write_part(run: Path, index: int, answers: pd.DataFrame) -> None:
    """Keep the answers to a shard's rows; they appear by rename when whole."""
    make_folder(run / PARTS)
    write_atomic(run / PARTS / f"{index:05d}.parquet", parquet_bytes(answers))


def answers_so_far(run: Path) -> pd.DataFrame:
    """All answers that are there and can be read, one line a row, by row."""
    tables = []
    for path in [*sorted((run / PARTS).glob("*.parquet")), run / ANSWERS]:
        try:
            tables.append(parquet_table(path))
        except (OSError, ValueError):  # not there, or no Parquet any more: these are answered anew
            continue
    found = pd.concat(tables) if tables else pd.DataFrame({"row": pd.Series(dtype="int64")})
    return found.drop_duplicates("row").sort_values("row", ignore_index=True)


def join_parts(run: Path) -> None:
    """Make one table of all parts, and remove them."""
    write_atomic(run / ANSWERS, parquet_bytes(answers_so_far(run)))
    shutil.rmtree(run / PARTS, ignore_errors=True)
