"""What a command need not import it does not: most of a quick command's time would be that."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.random_run import make_run

SLOW = ("scipy.stats", "scipy.optimize", "sklearn", "umap", "torch", "transformers")


def slow_ones(program: str) -> str:
    """Which of them a program brings with it."""
    program = f"import sys; {program}; print([name for name in {SLOW} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("needed", ["margin.gate.check, margin.commands.gate", "margin.report.figures"])
def test_a_gate_and_a_figure_do_without_what_is_slow_to_import(needed: str) -> None:
    assert slow_ones(f"import {needed}") == "[]"


def test_a_whole_report_with_its_page_and_figures_does_without_it(tmp_path: Path) -> None:
    make_run(tmp_path / "run", prompts=20, layers=2, width=16, vocabulary=100)
    argv = ["report", str(tmp_path / "run"), "--out", str(tmp_path / "report"), "--quiet"]
    ran = f"from margin.cli import main; main({argv}, standalone_mode=False)"
    assert slow_ones(ran) == "[]"
    assert (tmp_path / "report" / "figures" / "overview.png").exists()
