"""Pages that tell a story from collecting to the page: their commands are run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STORIES = {
    "reasoning": ["left out for a row that does not: 3 of 24 prompts"],
    "readable": ["Behaviours and policies", "reworded:paraphrases of neg"],
}
"""What the pages that come of it say, in the order of their folders, by the page of the documentation."""


@pytest.mark.parametrize("page", STORIES)
def test_the_commands_of_a_page_make_a_page(page: str, tmp_path: Path) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    for block in re.findall(r"```bash\n(.*?)```", text, re.S):
        done = subprocess.run(
            ["bash", "-e", "-c", block], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
    made = sorted(tmp_path.rglob("report.html"))
    for report, said in zip(made, STORIES[page], strict=True):
        assert said in " ".join(report.read_text(encoding="utf-8").split())
