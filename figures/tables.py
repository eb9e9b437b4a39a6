r"""Tables of estimates for a paper: LaTeX (booktabs) ready to \input, and Markdown.

Both take one row an estimate with the columns name, estimate, low, high, and any further columns, which are
kept in their order after the interval. Numbers are written with two to five digits, all alike; names are
escaped.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from margin.figures.columns import INTERVAL, checked
from margin.figures.intervals import decimals, written
from margin.figures.text import one_line


@dataclass(frozen=True)
class Facts:
    """What a caption has to say for its numbers to be read. Empty facts are left out."""

    n_prompts: int | None = None
    """Prompts the numbers rest on."""
    distance: str = ""
    """For example "cosine"."""
    space: str = ""
    """For example "logits"."""
    level: float | None = None
    """Nominal coverage of the intervals, 0 to 1."""
    method: str = ""
    """How the intervals were made."""

    def __str__(self) -> str:
        intervals = f"{self.level * 100:g}% intervals" if self.level is not None else ""
        if self.method:
            intervals = f"{intervals or 'intervals'} by {self.method}"
        parts = [
            f"n = {self.n_prompts:,} prompts" if self.n_prompts is not None else "",
            f"{self.distance} distance" if self.distance else "",
            f"space: {self.space}" if self.space else "",
            intervals,
        ]
        return "; ".join(part for part in parts if part)


def latex_table(table: pd.DataFrame, facts: Facts, *, caption: str, label: str, heading: str = "") -> str:
    r"""A `table` float with booktabs rules; the document needs `\usepackage{booktabs}`.

    caption : what the table shows; the facts follow it. label : for \ref, for example "tab:margin". heading :
    title of the first column. Raises ValueError for missing columns, no rows, or a label with characters that
    LaTeX acts on.

    Example
    -------
    >>> import pandas as pd
    >>> table = pd.DataFrame(
    ...     {"name": ["pos", "neg"], "estimate": [0.26, 0.27], "low": [0.24, 0.26], "high": [0.27, 0.28]}
    ... )
    >>> text = latex_table(table, Facts(360, "cosine"), caption="Margin", label="tab:margin")
    >>> print(next(line for line in text.splitlines() if "pos" in line))
    pos & 0.260 & {[}0.240, 0.270{]} \\
    """
    if not label or not all(c.isalnum() or c in ":-." for c in label):
        raise ValueError(f"label {label!r} may hold only letters, digits, ':', '-' and '.'")
    rows = _rows(table, heading).map(escape_latex)
    numeric = [pd.api.types.is_numeric_dtype(table[column]) for column in _further(table)]
    styler = rows.rename(columns=escape_latex).style.hide(axis="index")
    return str(
        styler.to_latex(
            hrules=True,
            position="tbp",
            position_float="centering",
            column_format="lrr" + "".join("r" if right else "l" for right in numeric),
            caption=escape_latex(_sentence(caption, facts)),
            label=label,
        )
    )


def markdown_table(table: pd.DataFrame, facts: Facts, *, caption: str = "", heading: str = "") -> str:
    r"""A pipe table with the caption and the facts in a line below it. Arguments as for `latex_table`.

    Example
    -------
    >>> import pandas as pd
    >>> table = pd.DataFrame(
    ...     {"name": ["pos", "neg"], "estimate": [0.26, 0.27], "low": [0.24, 0.26], "high": [0.27, 0.28]}
    ... )
    >>> print(markdown_table(table, Facts(360, "cosine"), caption="Margin", heading="mode"))
    | mode | estimate | interval |
    | :-- | --: | --: |
    | pos | 0.260 | \[0.240, 0.270\] |
    | neg | 0.270 | \[0.260, 0.280\] |
    <BLANKLINE>
    Margin (n = 360 prompts; cosine distance).
    <BLANKLINE>
    """
    rows = _rows(table, heading).map(_escape_markdown)
    numeric = [pd.api.types.is_numeric_dtype(table[column]) for column in _further(table)]
    rules = [":--", "--:", "--:", *("--:" if right else ":--" for right in numeric)]
    lines = [[_escape_markdown(column) for column in rows.columns], rules, *rows.to_numpy().tolist()]
    below = _sentence(caption, facts)
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
    return f"{text}\n{_escape_markdown(below)}\n" if below else text


def _sentence(caption: str, facts: Facts) -> str:
    """The caption with the facts in brackets behind it."""
    about = f"({facts})" if str(facts) else ""
    text = " ".join(part for part in (caption.rstrip("."), about) if part)
    return text and f"{text}."


def _further(table: pd.DataFrame) -> list[str]:
    """Columns beside those of the estimate."""
    return [column for column in table.columns if column not in ("name", *INTERVAL)]


def _rows(table: pd.DataFrame, heading: str) -> pd.DataFrame:
    """All cells as text: name, estimate, interval, then the further columns."""
    data = checked(table, "estimates", ["name"], INTERVAL)
    pairs = [text.split(" ", 1) for text in written(data)]
    rows = pd.DataFrame(
        {
            heading: data["name"],
            "estimate": [number for number, _ in pairs],
            "interval": [interval for _, interval in pairs],
        }
    )
    for column in _further(table):
        rows[str(column)] = [_cell(value) for value in data[column]]
    return rows


def _cell(value: object) -> str:
    """A further column's value as text."""
    if pd.isna(value):
        return "–"
    if isinstance(value, float) and not value.is_integer():
        return decimals(value, 3)
    return f"{value:,.0f}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "−": "$-$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "–": "--",
    "[": "{[}",  # a row that starts with a bracket would be read as the argument of the line break before it
    "]": "{]}",
}


def escape_latex(text: str) -> str:
    """Text that LaTeX prints as it stands."""
    return "".join(_LATEX.get(c, c) for c in one_line(text))


def _escape_markdown(text: str) -> str:
    """Text that Markdown and HTML show as it stands, on one line."""
    escaped = "".join(f"\\{c}" if c in r"\`*_{}[]#|~$!" else c for c in one_line(text))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
