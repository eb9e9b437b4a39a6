"""Controls from the command line to the report, on the shipped checkpoint: the leak in it is found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

from margin.capture.collect import collect
from margin.cli import main
from margin.demo import checkpoint_path, modes_path, prompts_path
from margin.errors import IncomparableError
from margin.inputs.attacks import load_attacks
from margin.inputs.controls import Controls, conversations
from margin.inputs.modes_file import load_modes
from margin.inputs.prompts import load_prompts
from margin.report.analyse import analyse
from margin.report.markdown import to_markdown
from margin.report.report import Report
from margin.report.write import schema, to_json
from margin.run.run import Run, open_run
from tests.intervals import upper

PROMPTS = 24
KINDS = "none,random,near-miss,user-turn"
TEMPLATES = '{"name": "polite", "template": "Dear friend, {prompt}"}\n'


@pytest.fixture(scope="module")
def attacks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("attacks") / "attacks.jsonl"
    path.write_text(TEMPLATES)
    return path


@pytest.fixture(scope="module")
def run(attacks: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("runs") / "run"
    files = ["--prompts", str(prompts_path()), "--modes", str(modes_path()), "--out", str(out)]
    beside = ["--controls", KINDS, "--attacks", str(attacks), "--limit", str(PROMPTS), "--seed", "3"]
    done = CliRunner().invoke(
        main, ["collect", str(checkpoint_path("naive")), *files, *beside, "--decoys", "0", "--quiet"]
    )
    assert done.exit_code == 0, done.output
    return open_run(out)


@pytest.fixture(scope="module")
def report(run: Run) -> Report:
    return analyse(run, permutations=9)


def test_rows_are_those_of_the_modes_then_the_controls(run: Run) -> None:
    rows = run.rows
    assert (rows["kind"][: 3 * PROMPTS] == "mode").all()
    assert rows["kind"].value_counts().to_dict() == {
        "mode": 3 * PROMPTS,
        "none": PROMPTS,
        "random": PROMPTS,
        "near-miss": 3 * PROMPTS,
        "user-turn": 9 * PROMPTS,
        "attack": 3 * PROMPTS,
    }
    assert len(run.pairs) == 3 * PROMPTS
    assert run.manifest.identity.controls is not None
    assert run.manifest.identity.controls.kinds == KINDS.split(",")


def test_the_margin_is_that_of_the_modes_alone(run: Run, report: Report, tmp_path: Path) -> None:
    alone = collect(
        checkpoint_path("naive"),
        prompts=prompts_path(),
        modes=modes_path(),
        out=tmp_path / "alone",
        limit=PROMPTS,
        seed=3,
        decoys=0,
        quiet=True,
    )
    expected = analyse(alone, permutations=9)
    for distance, margins in report.sam.items():
        found, without = margins.leave_prompt_out, expected.sam[distance].leave_prompt_out
        assert found.estimate == pytest.approx(without.estimate, abs=1e-5)
        assert found.se == pytest.approx(without.se, rel=1e-3)


def test_the_leak_is_found_and_unknown_tokens_stay_safe(report: Report) -> None:
    leaks = {leak.condition: leak for leak in report.robustness.select("leak")}
    assert leaks["near-miss:neg"].value.estimate > 0.8
    assert leaks["user-turn:neg"].value.estimate > 0.8
    for condition in ("random", "none", "near-miss:rej"):
        assert leaks[condition].count == 0
        assert 0 < upper(leaks[condition].value) < 0.2
    shares = report.robustness.landings().set_index(["condition", "outcome"])["share"]
    assert shares["random", "rej"] > 0.6
    assert shares["none", "pos"] > 0.6
    assert not any(finding.indicative for finding in report.robustness.findings)


def test_report_shows_them_in_every_rendering(report: Report) -> None:
    record = json.loads(to_json(report))
    jsonschema.validate(record, schema())
    found = [line for line in record["robustness"] if line["quantity"] == "leak" and line["column"] is None]
    assert {line["condition"]: line["count"] for line in found}["near-miss:neg"] > 0.8 * PROMPTS
    assert {line["column"] for line in record["robustness"]} == {None, "language"}
    markdown = to_markdown(report)
    assert "near-miss:neg" in markdown
    assert "attack:polite" in markdown


def test_no_token_near_a_live_one_is_anywhere(run: Run, report: Report, attacks: Path) -> None:
    modes, prompts = load_modes(modes_path()), load_prompts(prompts_path()).limit(PROMPTS)
    controls = Controls(tuple(KINDS.split(",")), load_attacks(attacks), seed=3)
    secrets = {mode.token.reveal() for mode in modes.modes}
    for talk in conversations(controls, modes, prompts.texts):
        if talk.kind in ("random", "near-miss"):
            secrets.add(talk.messages[0]["content"])
    assert len(secrets) > 3 * PROMPTS
    shown = [path.read_bytes() for path in run.path.rglob("*") if path.is_file()]
    # Parquet may compress; the tables as text too.
    shown += [table.to_csv().encode() for table in (run.rows, run.prompts, run.pairs)]
    shown += [to_json(report).encode(), to_markdown(report).encode()]
    assert not any(secret.encode() in data for data in shown for secret in secrets)


def test_a_run_with_other_controls_is_another_run(run: Run, attacks: Path) -> None:
    other = attacks.with_name("other.jsonl")
    other.write_text(TEMPLATES.replace("Dear", "My"))
    arguments: dict[str, Any] = {
        "prompts": prompts_path(),
        "modes": modes_path(),
        "out": run.path,
        "limit": PROMPTS,
        "seed": 3,
    }
    for choices, named in (
        ({"attacks": other}, r"controls\.attacks\.polite"),
        ({"draws": 2}, r"controls\.draws"),
    ):
        changed: dict[str, Any] = {
            "controls": KINDS.split(","),
            "attacks": attacks,
            "decoys": 0,
            "quiet": True,
        } | choices
        with pytest.raises(IncomparableError, match=named):
            collect(checkpoint_path("naive"), **arguments, **changed)


def test_an_unknown_control_is_refused_in_a_line(tmp_path: Path) -> None:
    files = ["--prompts", str(prompts_path()), "--modes", str(modes_path()), "--out", str(tmp_path / "r")]
    done = CliRunner().invoke(main, ["collect", "nowhere", *files, "--controls", "none,nothing"])
    assert done.exit_code == 2
    assert done.stderr.strip() == (
        "margin: unknown control 'nothing': take some of none, random, near-miss, user-turn"
    )
