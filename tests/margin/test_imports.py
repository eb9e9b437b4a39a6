"""What a command need not import it does not: most of a quick command's time would be that."""

from __future__ import annotations

import subprocess
import sys

import pytest

SLOW = ("scipy.stats", "sklearn", "umap", "torch", "transformers")


@pytest.mark.parametrize("needed", ["margin.gate.check, margin.commands.gate", "margin.report.figures"])
def test_a_gate_and_a_figure_do_without_what_is_slow_to_import(needed: str) -> None:
    program = f"import sys, {needed}; print([name for name in {SLOW} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
