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
    missing or not finite (`low` and `high` may be missing).
    """
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
    return result


def unique(table: pd.DataFrame, what: str, columns: Sequence[str]) -> None:
    """Raise ValueError when two rows share their values in `columns`."""
    twice = table.duplicated(list(columns))
    if twice.any():
        values = ", ".join(repr(table.loc[twice.idxmax(), column]) for column in columns)
        raise ValueError(f"the {what} table has two rows for {values}: hand over one row for each")
