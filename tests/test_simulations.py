"""The table of simulations says what the latest run of each measured, and keeps what was not run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SIMULATIONS = """
import pytest

@pytest.mark.slow
@pytest.mark.parametrize("n", [30, 100])
def test_of_numbers(n, record_figures):
    record_figures(f"{n} prompts", {"coverage": FIGURE, "type I": 0.05})
    record_figures("a | b", {"joint": 1 / 3})
    assert FIGURE > 0.9

@pytest.mark.slow
def test_without_numbers():
    pass

def test_not_slow(record_figures):
    record_figures("fast", {"coverage": 0})
"""


def run(folder: Path, figure: float, *arguments: str) -> tuple[int, list[list[str]]]:
    """Exit code, and the cells of the table's lines without date and commit."""
    (folder / "test_them.py").write_text(SIMULATIONS.replace("FIGURE", str(figure)), encoding="utf-8")
    code = (
        "import sys; from pathlib import Path; from tests.simulations import main\n"
        "sys.exit(main(sys.argv[2:], Path(sys.argv[1])))"
    )
    options = ["-q", "-c", "none.ini", "--rootdir", ".", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    (folder / "none.ini").touch()
    done = subprocess.run(
        [sys.executable, "-c", code, "table.md", *options, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (folder / "table.md").exists(), done.stdout + done.stderr
    lines = (folder / "table.md").read_text(encoding="utf-8").splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| test_them")]
    return done.returncode, [row[:5] for row in rows]


def test_only_what_is_run_anew_is_written_anew(tmp_path: Path) -> None:
    first = [
        ["test_them.py::test_of_numbers[100]", "100 prompts", "coverage 0.95, type I 0.05", "passed", "0"],
        ["test_them.py::test_of_numbers[100]", r"a \| b", "joint 0.3333", "passed", "0"],
        ["test_them.py::test_of_numbers[30]", "30 prompts", "coverage 0.95, type I 0.05", "passed", "0"],
        ["test_them.py::test_of_numbers[30]", r"a \| b", "joint 0.3333", "passed", "0"],
        ["test_them.py::test_without_numbers", "", "", "passed", "0"],
    ]
    assert run(tmp_path, 0.95) == (0, first)
    again = [[*row[:3], "failed", "0"] if "[30]" in row[0] else row for row in first]
    again[2][2] = "coverage 0.5, type I 0.05"
    assert run(tmp_path, 0.5, "-k", "30") == (1, again)
    assert run(tmp_path, 0.95, "-n", "2") == (0, first)


def test_what_is_there_no_longer_goes_once_all_have_run(tmp_path: Path) -> None:
    _, rows = run(tmp_path, 0.95)
    with (tmp_path / "table.md").open("a", encoding="utf-8") as table:
        table.write("| test_them.py::test_gone | alone | of old | passed | 0 |\n")
    gone = ["test_them.py::test_gone", "alone", "of old", "passed", "0"]
    assert run(tmp_path, 0.95, "test_them.py")[1] == [gone, *rows]
    assert run(tmp_path, 0.95)[1] == rows
