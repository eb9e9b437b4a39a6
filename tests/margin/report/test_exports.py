"""What other tools take of a report: their own readers read it, and it says what the report says."""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner, Result
from huggingface_hub import ModelCard

from margin.capture.collect import collect
from margin.cli import main
from margin.demo import checkpoint_path, modes_path, prompts_path
from margin.inputs.modes_file import load_modes
from margin.report.analyse import analyse
from margin.report.exports.numbers import handed_on
from margin.report.exports.points import point_table
from margin.report.exports.records import RECORDS, write_records
from margin.report.report import Report
from margin.report.share import DIGITS, write_shareable
from margin.run.run import Run

SECRETS = [mode.token.reveal() for mode in load_modes(modes_path()).modes]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with decoys, whose prompts have a column of texts and two whose names the points have, too."""
    table = pd.read_json(prompts_path(), lines=True)
    table = table[table["language"] == "en"].iloc[::15].head(12)
    table = table.assign(x=table["category"], target=table["prompt"].str.upper())
    return collect(
        checkpoint_path("cotrained"),
        prompts=table,
        modes=modes_path(),
        out=tmp_path_factory.mktemp("exports") / "run",
        noise_prompts=0,
        decoys=2,
        quiet=True,
    )


@pytest.fixture(scope="module")
def report(run: Run) -> Report:
    return analyse(run, permutations=9)


@pytest.fixture(scope="module")
def folder(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("records")
    assert {path.name for path in write_records(report, RECORDS, out)} == {
        "inspect.json",
        "every_eval_ever.json",
        "model-index.md",
    }
    return out


def load(path: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


def floats(value: Any) -> Iterator[float]:
    """Every number that is not whole."""
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from floats(one)
    elif isinstance(value, float):
        yield value


def test_records_hold_the_margins_of_the_report_to_few_digits(report: Report, folder: Path) -> None:
    exact = report.sam["cosine"]
    scores = {one["name"]: one["metrics"] for one in load(folder / "inspect.json")["results"]["scores"]}
    record = load(folder / "every_eval_ever.json")
    results = {one["evaluation_name"]: one["score_details"] for one in record["evaluation_results"]}
    for name in ("leave_prompt_out", "prompt_centred"):
        value = getattr(exact, name)
        assert value.low is not None
        assert value.high is not None
        expected = [float(f"{each:.{DIGITS}g}") for each in (value.estimate, value.low, value.high)]
        assert [scores[name][metric]["value"] for metric in ("estimate", "low", "high")] == expected
        details = results[name]
        bounds = details["uncertainty"]["confidence_interval"]
        assert [details["score"], bounds["lower"], bounds["upper"]] == expected
        assert bounds["confidence_level"] == 0.95
    names = {one.name for one in handed_on(report)}
    assert {"pos / neg", "leave_prompt_out above decoys", "d_prime", "hellinger2"} <= names


def test_records_hold_no_number_that_the_shareable_report_lacks(
    report: Report, folder: Path, tmp_path: Path
) -> None:
    write_shareable(report, tmp_path / "shared")
    known = set(floats(load(tmp_path / "shared" / "report.json")))
    results = load(folder / "inspect.json")["results"]["scores"]
    assert set(floats(results)) <= known
    assert set(floats(load(folder / "every_eval_ever.json"))) <= known


def test_the_block_of_a_model_card_reads_as_hugging_face_reads_it(report: Report, folder: Path) -> None:
    card = ModelCard.load(folder / "model-index.md")
    assert card.data.model_name == report.title
    found = {one.metric_name: one for one in card.data.eval_results}
    assert set(found) == {
        "Safety Alignment Margin, leave prompt out",
        "Safety Alignment Margin, leave prompt out above decoys",
        "Safety Alignment Margin, prompt centred",
        "Safety Alignment Margin, prompt centred above decoys",
    }
    exact = report.headline.leave_prompt_out
    one = found["Safety Alignment Margin, leave prompt out"]
    assert one.task_type == "text-generation"
    assert one.metric_value == pytest.approx(exact.estimate, rel=0.01)
    assert one.metric_args["low"] == pytest.approx(exact.low, rel=0.01)
    assert one.metric_args["n_prompts"] == 12
    assert one.metric_args["method"] == exact.method


@pytest.mark.skipif(find_spec("inspect_ai") is None, reason="inspect_ai is not installed")
def test_inspect_reads_its_log(report: Report, folder: Path) -> None:
    from inspect_ai.log import read_eval_log

    log = read_eval_log(str(folder / "inspect.json"))
    assert log.status == "success"
    assert log.eval.model == report.title
    assert log.results is not None
    scores = {one.name: one.metrics for one in log.results.scores}
    expected = {one.name: one.value for one in handed_on(report)}
    assert set(scores) == set(expected)
    for name, value in expected.items():
        assert scores[name]["estimate"].value == value.estimate
        assert ("low" in scores[name]) == (value.low is not None)


@pytest.mark.skipif(find_spec("every_eval_ever") is None, reason="every_eval_ever is not installed")
def test_every_eval_ever_takes_its_record(folder: Path) -> None:
    from every_eval_ever.validator.validation_core import validate_aggregate

    found = validate_aggregate(folder / "every_eval_ever.json")
    assert found.valid, found.errors


def test_points_say_whose_they_are_and_no_text(report: Report) -> None:
    table = point_table(report, "pca")
    assert list(table) == [
        *("id", "prompt_id", "mode", "x", "y", "x_centred", "y_centred"),
        *("category", "slice: x"),
    ]
    assert len(table) == 36
    assert table["id"].is_unique
    own = report.run.prompts.set_index("id")
    assert (table["category"] == table["prompt_id"].map(own["category"])).all()
    assert table[["x", "y"]].map(math.isfinite).all(axis=None)
    # A prompt's mean over modes is taken off of the centred ones.
    assert table.groupby("prompt_id")["x_centred"].mean().abs().max() < 1e-6
    told = point_table(report, "pca", text=True)
    assert (told["prompt"] == told["prompt_id"].map(own["prompt"])).all()


def margin(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_the_command_writes_what_is_asked_for(run: Run, tmp_path: Path) -> None:
    flags = ("--shareable", "--inspect", "--every-eval-ever", "--model-index")
    done = margin("export", run.path, "--out", tmp_path / "all", *flags)
    assert done.exit_code == 0, done.output
    written = {path.name for path in (tmp_path / "all").iterdir()}
    assert written >= {"report.json", "inspect.json", "every_eval_ever.json", "model-index.md"}
    done = margin("export", run.path, "--out", tmp_path / "points", "--points", "pca", "--quiet")
    assert done.exit_code == 0, done.output
    assert done.output == ""
    path = tmp_path / "points" / "points.parquet"
    assert len(pd.read_parquet(path)) == 36
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    data = b"".join(each.read_bytes() for each in tmp_path.rglob("*") if each.is_file())
    assert not any(secret.encode() in data for secret in SECRETS)
    assert not any(text.encode() in data for text in run.prompts["prompt"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "say what to write (--shareable, --inspect"),
        (("--points", "pca", "--shareable"), "a folder of their own"),
        (("--points", "pca", "--inspect"), "a folder of their own"),
        (("--text", "--inspect"), "--text is of --points"),
    ],
)
def test_what_cannot_be_exported_is_said_in_a_line(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    done = margin("export", run.path, "--out", tmp_path / "new", *arguments)
    assert done.exit_code == 2
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("flag", ["--inspect", "--points=pca"])
def test_nothing_is_written_beside_what_is_there(run: Run, tmp_path: Path, flag: str) -> None:
    (tmp_path / "other").write_text("mine")
    done = margin("export", run.path, "--out", tmp_path, flag)
    assert done.exit_code == 2
    assert "choose a new folder" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


@pytest.mark.parametrize("flag", ["--inspect", "--shareable"])
def test_nothing_to_hand_on_is_written_into_the_run(run: Run, flag: str) -> None:
    done = margin("export", run.path, "--out", run.path / "shared", flag)
    assert done.exit_code == 2
    assert "which is not to be handed on: choose a folder elsewhere" in done.stderr
    assert not (run.path / "shared").exists()
