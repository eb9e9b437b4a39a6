"""`margin secrecy` from the command line, its section in every rendering, and its claims in the gate."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path

import jsonschema
import pytest
import torch
from click.testing import CliRunner, Result
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

import margin
from margin.cli import main
from margin.demo import checkpoint_path, modes_path, prompts_path
from margin.errors import MarginWarning
from margin.inputs.modes_file import load_modes
from margin.report.html import to_html
from margin.report.markdown import to_markdown
from margin.report.report import Report
from margin.report.write import schema, to_json
from margin.run.run import Run, open_run
from margin.study.secrecy_file import NAME, read_secrecy

SMALL = "--candidates 1000 --limit 40 --tried 1 --confirmed 12 --draws 4 --distance 1 --passes 200 --answer 8"


def command(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def secrecy(out: Path, *more: object) -> Result:
    inputs = ("--prompts", prompts_path(), "--modes", modes_path(), "--out", out)
    return command("secrecy", checkpoint_path("naive"), *inputs, *SMALL.split(), *more)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with requests and answers."""
    return margin.collect(
        checkpoint_path("naive"),
        prompts=prompts_path(),
        modes=modes_path(),
        out=tmp_path_factory.mktemp("runs") / "run",
        limit=24,
        decoys=0,
        extracts="shipped",
        generate=8,
        quiet=True,
    )


@pytest.fixture(scope="module")
def done(run: Run) -> Result:
    return secrecy(run.path)


@pytest.fixture(scope="module")
def report(run: Run, done: Result) -> Report:
    assert done.exit_code == 0, done.output
    return margin.analyse(open_run(run.path), permutations=9)


def test_the_summary_says_what_was_found(done: Result, run: Run) -> None:
    for words in (
        "Secrecy of the tokens",
        "one edit from the token of neg",
        "first character known",
        "search",
    ):
        assert words in done.stdout
    assert "secrecy.json" in done.stderr
    assert secrecy(run.path, "--quiet").output == ""


def test_the_worst_of_all_near_misses_stands_at_the_top(done: Result, run: Run) -> None:
    found = read_secrecy(run.path)
    assert found is not None
    every = next(line for line in found.neighbourhood if line.kind == "one edit")
    assert every.worst is not None
    worst = f"the worst opens an unsafe mode for {every.worst.estimate:.0%} of prompts"
    assert worst in " ".join(done.stdout.split())


def test_json_is_what_is_written(run: Run, done: Result) -> None:
    written = json.loads((run.path / NAME).read_text(encoding="utf-8"))
    assert written.pop("checksum")
    assert json.loads(secrecy(run.path, "--json").stdout) == written
    assert written["format"] == "margin-secrecy/1"


def test_every_rendering_shows_the_section_and_no_token(report: Report, run: Run) -> None:
    record = json.loads(to_json(report))
    jsonschema.validate(record, schema())
    near = next(line for line in record["secrecy"]["neighbourhood"] if line["kind"] == "edits")
    seen = near["opened"]
    markdown, page = to_markdown(report), to_html(report)
    for text in (markdown, page):
        assert "What opens near a token" in text
        assert f"{seen['estimate']:.3f} [{seen['low']:.3f}, {seen['high']:.3f}]" in text
        for mode in load_modes(modes_path()).modes:
            assert mode.token.reveal() not in text
    assert {line["condition"] for line in record["said"]} > {"extract:repeat", "extract:encode-zh"}
    assert len(record["said"]) == 24


def test_the_guessing_curve_is_drawn(run: Run, done: Result, tmp_path: Path) -> None:
    drawn = command("figures", run.path, "--only", "guessing", "--format", "svg", "--out", tmp_path)
    assert drawn.exit_code == 0, drawn.output
    assert (tmp_path / "guessing.svg").is_file()


def test_of_another_checkpoint_nothing_is_shown_but_a_warning(run: Run, done: Result, tmp_path: Path) -> None:
    other = margin.collect(
        checkpoint_path("baseline"),
        prompts=prompts_path(),
        modes=modes_path(),
        out=tmp_path / "other",
        limit=12,
        decoys=0,
        quiet=True,
    )
    shutil.copy(run.path / NAME, other.path / NAME)
    with pytest.warns(MarginWarning, match="holds no secrecy.json of its checkpoint"):
        report = margin.analyse(other, permutations=9)
    assert json.loads(to_json(report))["secrecy"] is None


def test_the_gate_tells_a_checkpoint_that_near_misses_open(run: Run, done: Result, tmp_path: Path) -> None:
    baseline, junit = tmp_path / "baseline.json", tmp_path / "verdict.xml"
    assert command("baseline", run.path, "--out", baseline).exit_code == 0
    allowed = ("check", run.path, "--baseline", baseline, "--max-drop", 1, "--max-leak", 1, "--junit", junit)
    assert command(*allowed).exit_code == 0
    verdict = command(*allowed, "--max-near-miss", 0.05)
    assert verdict.exit_code == 5  # the same checkpoint: a limit that was never met
    assert "near-miss:neg at 1" in verdict.output
    assert 'classname="margin.near-miss"' in junit.read_text()
    assert command(*allowed, "--max-said", 0.5).exit_code == 0
    missing = command(*allowed, "--max-near-miss", 0.05, "--near-miss-edits", 3)
    assert missing.exit_code == 2
    assert "holds no strings 3 edits away" in missing.output


def test_no_output_holds_a_string_that_opens(tmp_path: Path) -> None:
    """What is printed, the report in every rendering, the figure and the verdict."""
    run = margin.collect(
        checkpoint_path("naive"),
        prompts=prompts_path(),
        modes=modes_path(),
        out=tmp_path / "run",
        limit=24,
        decoys=0,
        quiet=True,
    )
    keys = tmp_path / "keys.jsonl"
    ended = secrecy(run.path, "--keep-found", keys)
    assert ended.exit_code == 0, ended.output
    strings = [json.loads(line)["string"] for line in keys.read_text().splitlines()]
    assert len(strings) > 5
    baseline, out = tmp_path / "b.json", tmp_path / "out"
    said = [ended.output, command("report", run.path, "--out", out, "--permutations", 9).output]
    said.append(command("figures", run.path, "--only", "guessing", "--format", "svg", "--out", out).output)
    command("baseline", run.path, "--out", baseline)
    more = ("--junit", out / "v.xml", "--summary", out / "s.md", "--max-near-miss", 0.1, "--max-exposure", 3)
    said.append(command("check", run.path, "--baseline", baseline, *more).output)
    written = [path for path in out.rglob("*") if path.is_file()]
    assert {path.suffix for path in written} >= {".html", ".json", ".md", ".svg", ".xml"}
    texts = [text.encode() for text in said] + [path.read_bytes() for path in (*written, run.path / NAME)]
    live = [mode.token.reveal() for mode in load_modes(modes_path()).modes]
    for key in (*strings, *live):
        data = key.encode()
        forms = (
            data,
            data[::-1],
            data.hex().encode(),
            base64.b64encode(data).rstrip(b"="),
            key.encode("utf-16-le"),
        )
        assert not [form for form in forms for text in texts if form in text]


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    """A tiny classifier with random weights, as a user has one: a folder."""
    torch.manual_seed(0)
    own = PreTrainedTokenizerFast.from_pretrained(checkpoint_path("naive"), model_max_length=64)
    labels = {0: "grumpy", 1: "kind"}
    config = BertConfig(
        vocab_size=len(own),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        id2label=labels,
        label2id={name: place for place, name in labels.items()},
        initializer_range=0.5,
    )
    folder = tmp_path / "judge"
    BertForSequenceClassification(config).save_pretrained(folder)
    own.save_pretrained(folder)
    return folder


def test_a_classifier_judges_by_the_label_that_is_expected(classifier: Path, tmp_path: Path) -> None:
    """Every answer has one of two labels, so that the shares of one and of the other make a whole."""
    few = ("--limit", 16, "--confirmed", 6, "--draws", 1, "--passes", 0, "--answer", 4, "--judge", classifier)
    refused = secrecy(tmp_path / "none", *few)
    assert refused.exit_code == 2
    assert "the judge gives grumpy, kind and never 'neg'" in refused.output
    shares = []
    for label in ("grumpy", "kind"):
        done = secrecy(tmp_path / label, *few, "--expect", f"neg={label}", "--json")
        assert done.exit_code == 0, done.output
        record = json.loads(done.stdout)
        assert record["settings"]["judge"] == "judge"
        shares.append({line["kind"]: line["judged"]["estimate"] for line in record["behaviour"]})
    grumpy, kind = shares
    assert {"the token itself", "random", "1 edit", "one edit"} <= set(grumpy) == set(kind)
    assert all(grumpy[name] + kind[name] == pytest.approx(1.0) for name in grumpy)
    assert 0 < sum(grumpy.values()) < len(grumpy)


def test_a_bad_word_is_one_line(tmp_path: Path) -> None:
    for more, words in (
        (("--candidates", 10), "1000"),
        (("--cluster", "nothing"), "no column 'nothing'"),
        (("--expect", "no=x"), "no mode 'no'"),
        (("--strings", tmp_path / "none.toml"), "cannot read"),
    ):
        refused = secrecy(tmp_path / "out", *more)
        assert refused.exit_code == 2
        assert words in refused.output
        assert "Traceback" not in refused.output
