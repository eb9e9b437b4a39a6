"""`margin probe` from the command line, and its section in every rendering of the report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import jsonschema
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from margin.cli import main
from margin.report.analyse import analyse
from margin.report.html import to_html
from margin.report.markdown import to_markdown
from margin.report.report import Report
from margin.report.write import schema, to_json
from margin.run.run import Run, open_run
from margin.run.seal import SEAL, sealed
from tests.margin.conftest import TOKENS
from tests.margin.report.conftest import HOSTILE


def margin(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def probed(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A copy of the run, probed."""
    path = tmp_path_factory.mktemp("probed") / "run"
    shutil.copytree(run.path, path)
    done = margin("probe", path, "--transfer", "topic")
    assert done.exit_code == 0, done.output
    return open_run(path)


@pytest.fixture(scope="module")
def shown(probed: Run) -> Report:
    return analyse(probed, permutations=9)


def test_the_summary_says_what_and_why(probed: Run) -> None:
    done = margin("probe", probed.path, "--layers", "last", "--transfer", "topic")
    assert done.exit_code == 0
    for words in ("Mode probes", "17 prompts x 3 modes", "chance 0.333", "selectivity", "transfer by topic"):
        assert words in done.stdout
    assert "probe.json" in done.stderr
    assert margin("probe", probed.path, "--transfer", "topic", "--quiet").output == ""


def test_json_is_what_is_written_and_the_same_each_time(probed: Run) -> None:
    printed = margin("probe", probed.path, "--transfer", "topic", "--json")
    record = json.loads(printed.stdout)
    written = json.loads((probed.path / "probe.json").read_text(encoding="utf-8"))
    assert written.pop("checksum")
    assert written == record
    assert record["format"] == "margin-probe/1"
    assert record["run"] == probed.manifest.digest
    assert record["settings"]["calibration_bins"] == 10


def test_every_rendering_shows_the_section(probed: Run, shown: Report) -> None:
    record = json.loads(to_json(shown))
    jsonschema.validate(record, schema())
    scores = pd.DataFrame(record["probes"]["scores"])
    assert set(scores["layer"]) == set(probed.layers)
    last = scores[(scores["layer"] == 3) & (scores["quantity"] == "accuracy")].iloc[0]
    markdown, page = to_markdown(shown), to_html(shown)
    assert "## Mode probes" in markdown
    assert f"{last['estimate']:.3f} [{last['low']:.3f}, {last['high']:.3f}]" in markdown
    assert 'id="probes-table"' in page
    assert "Hewitt and Liang" in page
    assert "Probe transfer by topic" in page
    d_prime = scores[(scores["layer"] == 3) & (scores["of"] == "lda neg / rej")].iloc[0]
    along = f"{d_prime['estimate']:.3f} [{d_prime['low']:.3f}, {d_prime['high']:.3f}]"
    assert along in markdown.split("Directions between modes, layer 3")[1]
    assert along in page
    for text in (markdown, page):
        assert "<script>alert" not in text.replace(json.dumps(HOSTILE), "")
    assert shown.figure("probes").axes[0].get_ylabel() == "share of points"


def test_a_report_without_probes_has_no_section(run: Run, report: Report) -> None:
    assert json.loads(to_json(report))["probes"] is None
    assert "Mode probes" not in to_markdown(report)
    assert 'id="probes' not in to_html(report)


@pytest.mark.parametrize("sealed_anew", [True, False])
def test_probes_that_cannot_be_used_are_left_out_with_the_reason(
    run: Run, probed: Run, tmp_path: Path, sealed_anew: bool
) -> None:
    path = tmp_path / "other"
    shutil.copytree(run.path, path)
    other = json.loads((probed.path / "probe.json").read_text(encoding="utf-8")) | {"run": "0" * 64}
    if sealed_anew:
        other = sealed({key: value for key, value in other.items() if key != SEAL})
    (path / "probe.json").write_text(json.dumps(other), encoding="utf-8")
    done = margin("report", path, "--permutations", "9", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["probes"] is None
    assert ("is not of this run" in done.stderr) == sealed_anew
    assert ("was edited" in done.stderr) != sealed_anew
    assert f"run margin probe {path} again" in " ".join(done.stderr.split())


def test_neither_tokens_nor_texts_are_written(probed: Run, shown: Report) -> None:
    written = (probed.path / "probe.json").read_text(encoding="utf-8")
    assert not any(token in written for token in TOKENS.values())
    assert not any(text in written + to_markdown(shown) for text in probed.prompts["prompt"])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (["--layers", "7"], "no layer 7"),
        (["--layers", "first"], "all, last or numbers"),
        (["--layers", "-9"], "all, last or numbers"),
        (["--transfer", "id"], "no column 'id'"),
        (["--level", "95"], "not a coverage probability"),
    ],
)
def test_wrong_options_end_in_one_line(probed: Run, wrong: list[str], says: str) -> None:
    refused = margin("probe", probed.path, *wrong)
    assert refused.exit_code == 2
    assert says in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_tables_are_written_into_a_folder_that_is_made(probed: Run, tmp_path: Path) -> None:
    file = tmp_path / "paper/tables/layers.tex"
    done = margin("table", probed.path, "--only", "layers", "--latex", "--out", file)
    assert done.exit_code == 0, done.output
    assert r"\toprule" in file.read_text(encoding="utf-8")
