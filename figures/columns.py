"""Check a table before drawing it, so that a mistake is named in one line."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

INTERVAL = ("estimate", "low", "high")
"""Columns of an estimate. `low` and `high` may hold gaps where no valid interval is known."""
_MAY_HAVE_GAPS = ("low", "high")


def checked(table: pd.DataFrame, what: str, names: Sequence[str], numbers: Sequence[str]) -> pd.DataFrame:
    """Copy of the table with `names` as text and `numbers` as float64, row index 0..n-1.

    `what` is how errors call the table. Raises ValueError for missing columns, no rows, or numbers that are
    missing or not finite (`low` and `high` may be missing), or a `low` above its `high`.
    """
    if not isinstance(table, pd.DataFrame):
        raise ValueError(f"the {what} table must be a DataFrame of pandas, got {type(table).__name__}")
    expected = [*names, *numbers]
    absent = [column for column in expected if column not in table.columns]
    if absent:
        raise ValueError(f"the {what} table lacks {', '.join(absent)}: it needs {', '.join(expected)}")
    if table.empty:
        raise ValueError(f"the {what} table has no rows: there is nothing to draw")
    result = table.reset_index(drop=True)
    for column in names:
        if result[column].isna().any():
            raise ValueError(f"row {int(result[column].isna().idxmax())} of the {what} table has no {column}")
    result = result.astype(dict.fromkeys(names, "str"))
    for column in numbers:
        try:
            result[column] = pd.to_numeric(result[column]).astype("float64")
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"column {column} of the {what} table holds something that is no number"
            ) from error
        bad = np.isinf(result[column]) | (result[column].isna() & (column not in _MAY_HAVE_GAPS))
        if bad.any():
            raise ValueError(f"row {int(bad.idxmax())} of the {what} table has no finite {column}")
    if {"low", "high"} <= set(numbers) and (turned := result["low"] > result["high"]).any():
        raise ValueError(f"row {int(turned.idxmax())} of the {what} table has a low above its high")
    return result


def within(table: pd.DataFrame, what: str, column: str, least: float, most: float) -> None:
    """Raise ValueError where a checked column holds a number outside its range, but for rounding."""
    out = (table[column] < least - 1e-6) | (table[column] > most + 1e-6)
    if out.any():
        first = int(out.idxmax())
        raise ValueError(
            f"row {first} of the {what} table has {column} {table.loc[first, column]:g}: "
            f"it lies from {least:g} to {most:g}"
        )


def whole(table: pd.DataFrame, what: str, column: str) -> None:
    """Raise ValueError where a checked column holds what is no whole number."""
    if (part := table[column] % 1 != 0).any():
        first = int(part.idxmax())
        raise ValueError(
            f"row {first} of the {what} table has {column} {table.loc[first, column]:g}: take a whole number"
        )


def unique(table: pd.DataFrame, what: str, columns: Sequence[str]) -> None:
    """Raise ValueError when two rows share their values in `columns`."""
    twice = table.duplicated(list(columns))
    if twice.any():
        first = table.loc[twice.idxmax(), list(columns)].tolist()
        values = ", ".join(f"{value:g}" if isinstance(value, float) else repr(value) for value in first)
        raise ValueError(f"the {what} table has two rows for {values}: hand over one row for each")
