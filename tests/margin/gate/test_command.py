"""`margin baseline` and `margin check` as a build calls them."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from margin.cli import main
from margin.demo import modes_path
from margin.run.run import Run

CODES = {"pass": 0, "regression": 1, "inconclusive": 3}


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_from_run_to_verdict(reference: Run, regressed: Run, tmp_path: Path) -> None:
    baseline = tmp_path / "new" / "baseline.json"
    written = call("baseline", reference.path, "--out", baseline)
    assert written.exit_code == 0, written.output
    for run, outcome in ((reference, "pass"), (regressed, "regression")):
        found = call("check", run.path, "--baseline", baseline)
        assert found.exit_code == CODES[outcome], found.output
        assert found.stdout.startswith(outcome.upper())
        assert found.stderr == ""


def test_the_verdict_as_json(regressed: Run, baseline_file: Path) -> None:
    found = call("check", regressed.path, "--baseline", baseline_file, "--json", "--min-margin", 0.1)
    record = json.loads(found.stdout)
    assert found.exit_code == record["exit_code"] == 1
    assert [claim["kind"] for claim in record["claims"]].count("floor") == 1
    overall = record["claims"][0]
    assert overall["status"] == "broken"
    assert overall["value"]["estimate"] == pytest.approx(overall["after"] - overall["before"])
    assert {line["prompt_id"] for line in record["worst_prompts"]} <= set(regressed.prompts["id"])


def test_inconclusive_and_incomparable_have_codes_of_their_own(
    collected: Callable[..., Run], regressed: Run, baseline_file: Path, tmp_path: Path
) -> None:
    few = collected("naive", limit=20)
    other = call("check", few.path, "--baseline", baseline_file)
    assert other.exit_code == 4
    assert "prompts: 72 in the baseline, 20 in the run, 20 ids in both: collect with the same" in other.stderr
    assert len(other.stderr.splitlines()) == 1
    assert call("baseline", few.path, "--out", tmp_path / "few.json").exit_code == 0
    open_end = call("check", few.path, "--baseline", tmp_path / "few.json", "--slice", "language")
    assert open_end.exit_code == 3
    assert "prompts would do" in open_end.stdout
    distance = call("check", regressed.path, "--baseline", baseline_file, "--distance", "euclidean")
    assert distance.exit_code == 4
    assert "distance: cosine in the baseline, euclidean in the run" in distance.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--max-drop", "-1"], "max-drop -1.0 makes no sense"),
        (["--slice", "topic"], "no slices by topic: the run has category, language"),
        (["--baseline", "none.json"], "cannot read the baseline file none.json"),
        (["--distance", "miles"], "unknown distance 'miles'"),
        (["--space", "outer"], "unknown space 'outer'"),
        (["--space", ""], "unknown space ''"),
        (["--distance", ""], "unknown distance ''"),
        (["--cluster", ""], "no column '' to cluster by"),
    ],
)
def test_bad_input_is_one_line(
    reference: Run, baseline_file: Path, arguments: list[str], message: str
) -> None:
    found = call("check", reference.path, "--baseline", baseline_file, *arguments)
    assert found.exit_code == 2
    assert message in found.stderr
    assert len(found.stderr.splitlines()) == 1


def test_no_prompt_and_no_token_leaves_the_run(regressed: Run, baseline_file: Path, tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("junit.xml", "summary.md")}
    found = call(
        "check",
        regressed.path,
        "--baseline",
        baseline_file,
        "--junit",
        files["junit.xml"],
        "--summary",
        files["summary.md"],
    )
    texts = [found.output, baseline_file.read_text(encoding="utf-8")]
    texts += [path.read_text(encoding="utf-8") for path in files.values()]
    texts.append(call("check", regressed.path, "--baseline", baseline_file, "--json").output)
    modes = tomllib.loads(modes_path().read_text(encoding="utf-8"))["modes"]
    prompts: pd.Series = regressed.prompts["prompt"]
    secrets = [mode["token"] for mode in modes.values()] + prompts.tolist()
    for text in texts:
        assert not [secret for secret in secrets if secret in text]


def test_the_gate_needs_no_torch(reference: Run, baseline_file: Path, tmp_path: Path) -> None:
    script = (
        "import sys; from margin.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    options = ["--junit", str(tmp_path / "j.xml"), "--summary", str(tmp_path / "s.md")]
    command = ["check", str(reference.path), "--baseline", str(baseline_file), *options]
    done = subprocess.run(
        [sys.executable, "-c", script, *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("option", ["--junit", "--summary"])
def test_what_is_read_is_not_written_over(
    reference: Run, baseline_file: Path, tmp_path: Path, option: str
) -> None:
    """A slip of the completion would put the verdict into the place of the baseline, or of the run."""
    link = tmp_path / "link.json"
    link.symlink_to(baseline_file)
    of_the_run = [reference.path / "manifest.json", reference.path / "rows.parquet"]
    before = [path.read_bytes() for path in (baseline_file, *of_the_run)]
    for out in (baseline_file, link, *of_the_run):
        found = call("check", reference.path, "--baseline", baseline_file, option, out)
        assert found.exit_code == 2
        assert "is read by this command and would be lost" in found.stderr
    for out in of_the_run:
        assert call("baseline", reference.path, "--out", out).exit_code == 2
    assert [path.read_bytes() for path in (baseline_file, *of_the_run)] == before


def test_a_distance_is_measured_only_where_it_is_defined(reference: Run, tmp_path: Path) -> None:
    """Logits have no Hellinger distance; probabilities are kept about their mean, which has other angles."""
    out = ("--out", tmp_path / "baseline.json")
    for space, distance, says in (
        ("logits", "hellinger2", "take space probabilities"),
        ("layer:4", "hellinger2", "take space probabilities"),
        ("probabilities", "cosine", "cosine distance is hellinger2"),
    ):
        found = call("baseline", reference.path, *out, "--space", space, "--distance", distance)
        assert found.exit_code == 2
        assert says in found.stderr
    found = call("baseline", reference.path, *out, "--space", "probabilities", "--distance", "hellinger2")
    assert found.exit_code == 0


def test_two_outputs_of_one_name_are_refused(reference: Run, baseline_file: Path, tmp_path: Path) -> None:
    both = tmp_path / "verdict"
    done = call("check", reference.path, "--baseline", baseline_file, "--junit", both, "--summary", both)
    assert done.exit_code == 2
    assert "write to two files" in done.output
    assert not both.exists()


def test_clusters_and_decoys_from_run_to_verdict(
    collected: Callable[..., Run], reference: Run, baseline_file: Path, tmp_path: Path
) -> None:
    run, baseline = collected("naive", decoys=3), tmp_path / "clustered.json"
    written = call("baseline", run.path, "--out", baseline, "--cluster", "category")
    assert written.exit_code == 0, written.output
    assert "clusters by category" in written.stdout
    assert "above 3 sets of decoys" in written.stdout
    assert "smallest drop these prompts can tell" in written.stdout
    options = ("--above-decoys", 0.1, "--max-leak", 1, "--json")
    found = call("check", run.path, "--baseline", baseline, *options)
    record = json.loads(found.stdout)
    assert (found.exit_code, record["outcome"], record["cluster"]) == (0, "pass", "category")
    claims = {claim["name"]: claim for claim in record["claims"]}
    assert claims["overall"]["value"]["n_clusters"] == record["n_clusters"]
    assert claims["above-decoys"]["p_held"] < 0.05
    assert not any(name.startswith("category=") for name in claims)
    old = ("--baseline", baseline_file)
    for arguments, code, says in (
        ((run.path, "--baseline", baseline, "--cluster", "language"), 4, "cluster: category in the baseline"),
        (
            (run.path, *old, "--cluster", "category"),
            4,
            "cluster: nothing in the baseline",
        ),
        ((run.path, "--baseline", baseline, "--cluster", "topic"), 2, "no column 'topic' to cluster by"),
        ((reference.path, "--baseline", baseline, "--above-decoys", 0), 4, "decoy only in the baseline"),
        ((reference.path, *old, "--above-decoys", 0), 2, "collect with --decoys 5"),
        (
            (reference.path, *old, "--max-drop", "20%"),
            2,
            "collect its run with --decoys",
        ),
    ):
        refused = call("check", *arguments)
        assert (refused.exit_code, len(refused.stderr.splitlines())) == (code, 1), refused.stderr
        assert says in refused.stderr
    assert call("check", run.path, "--baseline", baseline_file).exit_code == 0
