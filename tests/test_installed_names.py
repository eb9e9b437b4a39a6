"""The two packages beside margin are found whatever lies beside a user's script."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("name", ["figures", "probes"])
def test_a_file_of_the_users_named_like_ours_is_not_taken_for_it(name: str, tmp_path: Path) -> None:
    (tmp_path / f"{name}.py").write_text("raise SystemExit('this is the file of the user')")
    (tmp_path / "script.py").write_text(
        "import margin, margin.cli, margin.report.analyse\n"
        "from margin import figures, probes\n"
        "print(figures.layer_curve.__name__, probes.probe_layers.__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["layer_curve", "probe_layers"], done.stderr


def test_the_names_they_had_before_give_the_same_objects() -> None:
    import figures as old_figures
    import probes as old_probes
    from margin import figures, probes

    assert all(getattr(old_figures, name) is getattr(figures, name) for name in figures.__all__)
    assert all(getattr(old_probes, name) is getattr(probes, name) for name in probes.__all__)


def test_a_wheel_holds_both_names_in_full(tmp_path: Path) -> None:
    """Made as installers make it from a source archive: the links of the repository become folders."""
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    for name in ("figures", "probes"):
        files = {path.name for path in (ROOT / name).glob("*.py")}
        for where in (name, f"margin/{name}"):
            assert {f"{where}/{file}" for file in files} <= held
