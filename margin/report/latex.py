r"""The tables of a report for a paper: LaTeX (booktabs) ready to \input."""

from __future__ import annotations

import re
from collections.abc import Iterable

from margin.figures.tables import escape_latex
from margin.study.table import Table

_MINUS = re.compile(r"(?<!\w)-(?=\d)")


def to_latex(tables: Iterable[Table]) -> str:
    r"""Each table as a `table` float with booktabs rules; the document needs `\usepackage{booktabs}`.

    The caption is the table's title and note, the label tab:KEY. Text from outside is escaped; numbers below
    0 have a minus sign, which a hyphen of LaTeX's text is not.
    """
    return "\n".join(map(_float, tables))


def _float(table: Table) -> str:
    columns = [escape_latex(column.name) for column in table.columns]
    rows = table.to_frame().map(escape_latex)
    rows.columns = columns
    for place, column in enumerate(table.columns):
        if column.numeric:
            rows.isetitem(place, rows.iloc[:, place].map(lambda text: _MINUS.sub("$-$", text)))
    note = f". {table.note}" if table.note else ""
    return str(
        rows.style.hide(axis="index").to_latex(
            hrules=True,
            position="tbp",
            position_float="centering",
            column_format="".join("r" if column.numeric else "l" for column in table.columns),
            caption=escape_latex(f"{table.title}{note}"),
            label=f"tab:{table.key}",
        )
    )
