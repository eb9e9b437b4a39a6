"""`margin judge` as a user meets it, and what margin report makes of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from markdown_it import MarkdownIt

from margin.cli import main
from margin.demo import modes_path
from margin.errors import MarginError
from margin.inputs.modes_file import load_modes
from margin.report.write import schema
from margin.run.run import Run, open_run
from tests.margin.study.answered import demo_run

SECRETS = [mode.token.reveal() for mode in load_modes(modes_path()).modes]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo_run(tmp_path_factory.mktemp("judged") / "run").path


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A copy to write judgements into."""
    return Path(shutil.copytree(made, tmp_path / "run"))


def margin(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def report(run: Path, *options: str) -> dict[str, Any]:
    done = margin("report", run, "--permutations", "9", "--json", *options)
    assert done.exit_code == 0, done.output
    record: dict[str, Any] = json.loads(done.stdout)
    jsonschema.validate(record, schema())
    return record


def opened(run: Path) -> Run:
    return open_run(run)


def test_the_refusal_matcher_finds_the_refusing_mode(run: Path) -> None:
    done = margin("judge", run, "--judge", "refusal")
    assert done.exit_code == 0, done.output
    assert "refusal" in done.stdout
    assert "geometry and judge (refusal) agree on" in done.stdout
    record = json.loads(margin("judge", run, "--judge", "refusal", "--json").stdout)
    counts = {
        (o["condition"], o["label"]): o["count"] for o in record["behaviour"] if o["quantity"] == "observed"
    }
    assert counts["rej", "refusal"] >= 20
    assert counts["pos", "refusal"] + counts["neg", "refusal"] <= 4
    assert record["expected"] == {"pos": "answer", "neg": "answer", "rej": "refusal"}
    assert margin("judge", run, "--judge", "refusal", "--quiet").output == ""


def test_the_report_takes_the_matcher_where_nobody_judged(run: Path) -> None:
    before = report(run)
    assert {line["judge"] for line in before["behaviour"]} == {"refusal"}
    assert margin("judge", run, "--judge", "refusal", "--quiet").exit_code == 0
    assert report(run)["behaviour"] == before["behaviour"]


def test_the_report_takes_the_judgement_that_is_there(run: Path, tmp_path: Path) -> None:
    rows = opened(run).rows
    labels = pd.DataFrame(
        {"row": rows["row"], "label": "polite <b>", "constructive": 2, "helpfulness": 1, "safety": -1}
    )
    labels.to_csv(tmp_path / "mine.csv", index=False)
    done = margin("judge", run, "--judge", tmp_path / "mine.csv")
    assert done.exit_code == 0, done.output
    record = report(run)
    assert {line["judge"] for line in record["behaviour"]} == {"mine.csv"}
    scores = {
        line["quantity"]: line["estimate"] for line in record["behaviour"] if line["condition"] == "modes"
    }
    assert scores == {"constructive_safety": 1.0, "cosa": -1.0}
    html = (run / "report/report.html").read_text(encoding="utf-8")
    assert "polite &lt;b&gt;" in html
    assert ">24<" in html.split('id="behaviour"')[1].split("</section>")[0]
    assert "polite <b>" not in html


def test_expected_labels_of_a_guard_are_named(run: Path, tmp_path: Path) -> None:
    rows = opened(run).rows
    labels = pd.DataFrame(
        {"row": rows["row"], "label": (rows["condition"] == "neg").map({True: "unsafe", False: "safe"})}
    )
    labels.to_parquet(tmp_path / "guard.parquet")
    pairs = ("--expect", "pos=safe", "--expect", "neg=unsafe", "--expect", "rej=safe")
    done = margin("judge", run, "--judge", tmp_path / "guard.parquet", "--json", *pairs)
    assert done.exit_code == 0, done.output
    shares = {
        o["condition"]: o["estimate"]
        for o in json.loads(done.stdout)["behaviour"]
        if o["quantity"] == "agreement"
    }
    assert shares["modes"] > 0.95


def test_the_markdown_section_is_tables(run: Path) -> None:
    report(run)
    text = (run / "report/report.md").read_text(encoding="utf-8")
    section = text.split("## What was answered")[1].split("\n## Separation")[0]
    html = MarkdownIt("commonmark").enable("table").render(section)
    assert html.count("<table>") >= 2
    assert "24 of 24" in section or "of 24 [" in section
    assert "<p>|" not in html


def test_text_is_shown_only_when_asked_and_tokens_never(run: Path) -> None:
    refusing = ("--refusal-mode", "pos")  # every row of pos and rej is then a disagreement
    plain = margin("judge", run, "--judge", "refusal", *refusing)
    asked = margin("judge", run, "--judge", "refusal", "--json", "--text", *refusing)
    answers = opened(run).answers["answer"]
    shown = next(o for o in json.loads(asked.stdout)["behaviour"] if o["quantity"] == "disagreement")
    assert shown["answer"] == answers[shown["row"]]
    assert not any(text in plain.output for text in answers)
    silent = json.dumps(report(run)["behaviour"], ensure_ascii=False)
    assert not any(text in silent for text in answers)
    told = json.dumps(report(run, "--text")["behaviour"], ensure_ascii=False)
    assert shown["answer"] in told
    written = [path.read_bytes() for path in run.rglob("*") if path.is_file()]
    written += [asked.output.encode(), plain.output.encode(), opened(run).answers.to_csv().encode()]
    assert not any(secret.encode() in data for secret in SECRETS for data in written)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--judge", "nowhere.csv"), "nowhere.csv"),
        (("--judge", "./nowhere"), "no such judge"),
        (("--judge", "refusal", "--out", "labels.csv"), "--out is where --draw-audit writes"),
        (("--judge", "refusal", "--refusal-mode", "nil"), "no mode 'nil'"),
        (("--judge", "refusal", "--expect", "pos"), "MODE=LABEL"),
        (("--judge", "refusal", "--expect", "pos=a", "--expect", "pos=b"), "'pos' two labels"),
    ],
)
def test_bad_input_ends_in_one_line(run: Path, arguments: tuple[str, ...], says: str) -> None:
    done = margin("judge", run, *arguments)
    assert done.exit_code == 2
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (run / "judgements.parquet").exists()


def test_judgements_of_another_run_stop_the_report(run: Path) -> None:
    assert margin("judge", run, "--judge", "refusal", "--quiet").exit_code == 0
    manifest = opened(run).manifest
    manifest.replace(identity=manifest.identity.replace(seed=5)).write(run)
    done = margin("report", run, "--permutations", "9")
    assert done.exit_code == 4
    assert "judgements of another run" in done.stderr


def test_an_expected_label_that_is_no_text_is_refused_in_a_line() -> None:
    from margin.commands.judge import _pair

    for given in ("pos=\udcff", "pos=\x00", "pos=a\nb", "pos", "=a", "pos="):
        with pytest.raises(MarginError, match="MODE=LABEL"):
            _pair(given)


@pytest.mark.parametrize("place", ["label", "in a label", "expected", "file", "prompt_id"])
def test_a_live_token_is_neither_kept_nor_shown(place: str, run: Path, tmp_path: Path) -> None:
    token = SECRETS[0]
    rows = opened(run).rows
    rows = rows.assign(label=["yes", "no"] * (len(rows) // 2))[["prompt_id", "condition", "draw", "label"]]
    if "label" in place:
        rows.loc[3, "label"] = token if place == "label" else f"it said '{token}'."
    if place == "prompt_id":
        rows.loc[3, "prompt_id"] = token
    file = tmp_path / (f"{token}.csv" if place == "file" else "labels.csv")
    rows.to_csv(file, index=False)
    expected = [f"--expect=pos={token}"] if place == "expected" else []
    done = margin("judge", run, "--judge", file, *expected)
    assert done.exit_code == 2
    assert token not in done.output
    assert "Traceback" not in done.output
    assert not (run / "judgements.parquet").exists()


@pytest.mark.parametrize("name", ["judgements.parquet", "probe.json", "report", "labels.csv"])
def test_a_folder_or_a_file_in_the_place_of_the_other_is_said_in_a_line(name: str, run: Path) -> None:
    (run / name).write_text("no folder") if name == "report" else (run / name).mkdir()
    commands: dict[str, list[tuple[str, ...]]] = {
        "judgements.parquet": [("judge", "--judge", "refusal"), ("report", "--permutations", "9")],
        "report": [("report", "--permutations", "9")],
        "labels.csv": [("judge", "--judge", str(run / name))],
        "probe.json": [("probe",)],
    }
    for command, *options in commands[name]:
        done = margin(command, run, *options)
        assert done.exit_code == 2, done.output
        assert str(run / name) in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
        assert "Traceback" not in done.output
