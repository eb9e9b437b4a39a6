from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from margin.figures.tables import Facts, latex_table, markdown_table

FACTS = Facts(
    n_prompts=1200, distance="cosine", space="logits", level=0.95, method="infinitesimal jackknife, t"
)
TABLE = pd.DataFrame(
    {
        "name": ["pos_[a] & 100% $x$ #1 {~^\\}", '<b>neg</b>|"*`', "[rej]"],
        "estimate": [0.131, -0.0333, 0.2],
        "low": [0.118, -0.05, np.nan],
        "high": [0.144, np.nan, np.nan],
        "prompts_n": [300, 1200, 12],
        "note": ["", "a_b", None],
    }
)


def test_latex_table_holds_numbers_rules_and_the_captions_facts() -> None:
    text = latex_table(TABLE, FACTS, caption="Margin by mode.", label="tab:margin", heading="mode")
    for piece in (
        r"\toprule",
        r"\midrule",
        r"\bottomrule",
        r"\label{tab:margin}",
        "0.131 & {[}0.118, 0.144{]}",
        "1,200",
    ):
        assert piece in text
    facts = (
        r"(n = 1,200 prompts; cosine distance; space: logits; 95\% intervals by infinitesimal jackknife, t)"
    )
    assert rf"\caption{{Margin by mode {facts}.}}" in text
    assert text.count("{") == text.count("}")  # the escaped pair in the first name matches too
    assert all(row.count("&") - row.count(r"\&") == 4 for row in text.splitlines() if row.endswith(r"\\"))


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no TeX installed")
def test_latex_table_compiles(tmp_path: Path) -> None:
    (tmp_path / "table.tex").write_text(
        latex_table(TABLE, FACTS, caption="A & B_c", label="tab:a", heading="100%"), encoding="utf-8"
    )
    (tmp_path / "paper.tex").write_text(
        r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage{booktabs}"
        r"\begin{document}\input{table}See~\ref{tab:a}.\end{document}",
        encoding="utf-8",
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def test_markdown_table_escapes_names_and_states_the_facts() -> None:
    lines = markdown_table(TABLE, FACTS, caption="Margin by mode", heading="mode").splitlines()
    assert lines[0] == r"| mode | estimate | interval | prompts\_n | note |"
    assert lines[1] == "| :-- | --: | --: | --: | :-- |"
    assert len({line.count("|") - line.count(r"\|") for line in lines[:5]}) == 1
    assert r"&lt;b&gt;neg&lt;/b&gt;\|" in lines[3]
    assert lines[-1] == (
        "Margin by mode (n = 1,200 prompts; cosine distance; space: logits; "
        "95% intervals by infinitesimal jackknife, t)."
    )


def test_unknown_facts_are_left_out() -> None:
    assert str(Facts()) == ""
    assert str(Facts(level=0.9)) == "90% intervals"
    assert markdown_table(TABLE[["name", "estimate", "low", "high"]], Facts()).endswith("|\n")


def test_bad_tables_and_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="lacks low, high"):
        latex_table(TABLE.drop(columns=["low", "high"]), FACTS, caption="", label="tab:a")
    with pytest.raises(ValueError, match="no rows"):
        markdown_table(TABLE.head(0), FACTS)
    with pytest.raises(ValueError, match="label"):
        latex_table(TABLE, FACTS, caption="", label="a}b")
