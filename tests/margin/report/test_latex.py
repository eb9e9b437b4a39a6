"""Tables of a report as LaTeX: what a paper prints of numbers and of words from outside."""

from __future__ import annotations

import pandas as pd

from margin.report.latex import to_latex
from margin.study.table import Interval, table


def line_of(text: str, first: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(first))


def test_numbers_below_zero_have_a_minus_sign_and_words_keep_their_hyphens() -> None:
    frame = pd.DataFrame(
        {
            "kind of prompt": ["en-1", "zh_2"],
            "SAM": [Interval(-0.25, -0.5, 0.125), Interval(0.5, -0.1, None)],
            "plain": [-1.5, 2.0],
            "seen": ["layer -1", "2-3"],
        }
    )
    text = to_latex([table("slices", "Slices at layer -1", "", frame)])
    assert line_of(text, "en-1") == r"en-1 & $-$0.250 {[}$-$0.500, +0.125{]} & $-$1.500 & layer -1 \\"
    assert line_of(text, "zh") == r"zh\_2 & +0.500 {[}$\geq$ $-$0.100{]} & 2.000 & 2-3 \\"
    assert r"\caption{Slices at layer -1}" in text
