"""What a model wrote before the measured tokens, on disk: one table, in parts as long as it goes on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd

from margin.run.files import make_folder, parquet_bytes, parquet_table, write_atomic
from margin.run.records import Thoughts
from margin.run.run_tables import THOUGHTS
from margin.text import counted

PARTS = "thoughts"
"""Folder of the thoughts of some rows each, until they are one file."""


def write_part(run: Path, index: int, thoughts: pd.DataFrame) -> None:
    """Keep some rows' thoughts; they appear by rename when whole."""
    make_folder(run / PARTS)
    write_atomic(run / PARTS / f"{index:05d}.parquet", parquet_bytes(thoughts))


def thoughts_so_far(run: Path) -> pd.DataFrame:
    """All thoughts that are there and can be read, one line a row, by their place `asked`."""
    tables = []
    for path in [*sorted((run / PARTS).glob("*.parquet")), run / THOUGHTS]:
        try:
            table = parquet_table(path)
        except (OSError, ValueError):  # not there, or no Parquet any more: these are thought anew
            continue
        # Of the joined table the place is the line's: it holds all rows that were asked, in their order.
        tables.append(table if "asked" in table else table.assign(asked=range(len(table))))
    found = pd.concat(tables) if tables else pd.DataFrame({"asked": pd.Series(dtype="int64")})
    return found.drop_duplicates("asked").sort_values("asked", ignore_index=True)


def write_all(run: Path, thoughts: pd.DataFrame) -> None:
    """Make one table of all thoughts, and remove the parts."""
    write_atomic(run / THOUGHTS, parquet_bytes(thoughts))
    shutil.rmtree(run / PARTS, ignore_errors=True)


def in_words(record: Thoughts) -> str:
    """How many rows came to where they are measured, and what became of the others."""
    left = record.rows - record.ended - record.cut
    said = f"{record.ended:,} of {record.rows:,} rows write {record.text!r}"
    others = [
        f"{count:,} {how}"
        for count, how in (
            (record.cut, f"used up {record.limit:,} tokens (--thought-tokens)"),
            (left, "ended without it"),
        )
        if count
    ]
    if others:
        said += f", {', '.join(others)}"
    if record.left_out:
        said += f"; left out under all modes: {record.left_out:,} of {counted(record.prompts, 'prompt')}"
    if record.forced:
        said += f"; {counted(record.forced, 'row')} went on otherwise and got the template's {record.then!r}"
    return said
