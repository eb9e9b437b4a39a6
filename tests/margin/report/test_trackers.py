"""A report in experiment trackers, read back from what each keeps; and as one file."""

from __future__ import annotations

import json
import math
import os
import re
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from click import Choice
from click.testing import CliRunner

from margin.cli import main
from margin.commands.report import report as command
from margin.errors import MarginError
from margin.report.archive import write_archive
from margin.report.report import Report
from margin.report.trackers import TRACKERS, log_to, tracked
from margin.run.run import Run

Read = Callable[[Path], dict[str, float]]
MARGIN = "margin/leave_prompt_out"


def from_tensorboard(place: Path) -> dict[str, float]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (folder,) = (place / "out" / "tensorboard").iterdir()
    found = EventAccumulator(str(folder)).Reload()
    return {tag: found.Scalars(tag)[0].value for tag in found.Tags()["scalars"]}


def from_mlflow(place: Path) -> dict[str, float]:
    with sqlite3.connect(place / "mlflow.db") as kept:
        assert kept.execute("select value from params where key = 'distance'").fetchall() == [("cosine",)]
        return dict(kept.execute("select key, value from metrics"))


def from_wandb(place: Path) -> dict[str, float]:
    (kept,) = (place / "out" / "wandb").glob("offline-run-*/run-*.wandb")
    # Its binary records have a name, the mark of a value, the value's length and the value as JSON.
    number = rb"(?s)((?:margin|behaviour)/[\w. /:-]+)\x82\x01.(-?\d[\d.e-]*)"
    found = re.findall(number, kept.read_bytes())
    return {name.decode(): float(value) for name, value in found}


def from_trackio(place: Path) -> dict[str, float]:
    (path,) = (place / "trackio").glob("*.db")
    with sqlite3.connect(path) as kept:
        ((metrics,),) = kept.execute("select metrics from metrics").fetchall()
    found: dict[str, float] = json.loads(metrics)
    return found


READERS: dict[str, Read] = {
    "tensorboard": from_tensorboard,
    "mlflow": from_mlflow,
    "wandb": from_wandb,
    "trackio": from_trackio,
}


def test_the_option_knows_every_tracker() -> None:
    (option,) = (each for each in command.params if each.name == "trackers")
    assert isinstance(option.type, Choice)
    assert set(option.type.choices) == set(TRACKERS) == set(READERS)


def test_what_is_logged_is_what_the_report_says(report: Report) -> None:
    given = tracked(report)
    for name, value in (
        ("leave_prompt_out", report.headline.leave_prompt_out),
        ("prompt_centred", report.headline.prompt_centred),
    ):
        found = [given.numbers[f"margin/{name}{suffix}"] for suffix in ("", "/low", "/high")]
        assert found == [value.estimate, value.low, value.high]
    assert all(math.isfinite(value) for value in given.numbers.values())
    assert all(re.fullmatch(r"[\w\-. :/]+", name) for name in given.numbers)
    assert given.about["prompts"] == len(report.run.prompts)
    said = json.dumps([given.name, dict(given.about), dict(given.numbers)], ensure_ascii=False)
    assert not any(text in said for text in report.run.prompts["prompt"])


@pytest.mark.parametrize("name", list(READERS))
def test_a_tracker_keeps_the_numbers(name: str, run: Run, report: Report, tmp_path: Path) -> None:
    if find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    own = {
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}",
        "TRACKIO_DIR": str(tmp_path / "trackio"),
        "WANDB_MODE": "offline",
    }
    words = ["report", str(run.path), "--out", "out", "--permutations", "9", "--log", name, "--quiet"]
    done = subprocess.run(
        [sys.executable, "-m", "margin", *words],
        env=os.environ | own | {"PYTHONPATH": os.pathsep.join(filter(None, [os.getcwd(), *sys.path]))},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""  # where results go
    kept = READERS[name](tmp_path)
    expected = tracked(report).numbers
    assert kept[MARGIN] == pytest.approx(expected[MARGIN], rel=1e-6)
    assert set(expected) <= set(kept)


@pytest.mark.parametrize("name", list(TRACKERS))
def test_a_tracker_that_is_not_installed_is_said_in_a_line(
    name: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    done = CliRunner().invoke(main, ["report", str(run.path), "--out", str(tmp_path / "new"), "--log", name])
    assert done.exit_code == 2
    assert done.stderr == f"margin: logging to {name} needs {name}: pip install {name}\n"
    assert not (tmp_path / "new").exists()


def test_a_folder_of_a_trackers_files_is_no_tracker(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "trackio").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    if find_spec("trackio").origin is not None:  # type: ignore[union-attr]  # the folder itself is found
        pytest.skip("trackio is installed")
    with pytest.raises(MarginError, match="pip install trackio"):
        log_to("trackio", report, tmp_path)


def test_a_tracker_that_fails_is_one_line(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "trackio.py").write_text("def init(**given):\n    raise OSError('no\\nroom')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "trackio", raising=False)
    with pytest.raises(MarginError, match="trackio could not log: no room"):
        log_to("trackio", report, tmp_path)
    sys.modules.pop("trackio", None)


def test_the_report_is_one_file(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "report"
    done = CliRunner().invoke(
        main, ["report", str(run.path), "--out", str(out), "--permutations", "9", "--zip"]
    )
    assert done.exit_code == 0, done.output
    assert "report.zip" in done.stderr
    with zipfile.ZipFile(out / "report.zip") as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert {"report.json", "report.md", "report.html"} < set(names)
        assert any(name.startswith("figures/") for name in names)
        for name in names:
            assert archive.read(name) == (out / name).read_bytes()
    before = (out / "report.zip").read_bytes()
    assert write_archive([out / name for name in reversed(names)], out).read_bytes() == before
