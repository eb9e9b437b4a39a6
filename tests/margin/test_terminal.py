"""What reaches a terminal and every file of text: nothing from outside that a terminal, a reader or a
spreadsheet obeys."""

from __future__ import annotations

import csv
import json
import logging
import os
import pty
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner, Result
from junitparser import JUnitXml
from rich.table import Table

from margin import streams
from margin.cli import main
from margin.console import PlainConsole
from margin.figures.tables import Facts, latex_table, markdown_table
from margin.run.files import csv_bytes
from margin.streams import show, show_json
from margin.text import json_text, shown, spelt
from tests.margin.conftest import TOKENS

NASTY = "\x1b]0;owned\x07\x1b[2J\u009b3J\u202egnp.exe\nmargin: all is well\x7f"
"""Sets a terminal's title, clears its screen both ways, turns the direction, and begins a line of its own."""
COLUMN = "=column[red]|"
"""A column may not be named by what cannot be seen."""
FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
TEXT = {".md", ".json", ".html", ".xml", ".csv", ".svg", ".tex", ".txt"}


def margin(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def place(
    saved_checkpoint: Path, prompts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """A folder in which everything that has a name has a nasty one."""
    folder = tmp_path_factory.mktemp("nasty")
    for name in (f"model{NASTY}", f"=model{NASTY}"):
        shutil.copytree(saved_checkpoint, folder / name)
    columns = {COLUMN: ["a", "b"], "other": [f"=1{NASTY}", f"@2{NASTY}"]}
    lines = [
        {"id": f"=id{i}[red]|", "prompt": text} | {name: values[i % 2] for name, values in columns.items()}
        for i, text in enumerate(prompts)
    ]
    (folder / "prompts.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    modes = [
        f"[modes.{name}]\ntoken_env = 'T_{name}'\nsafe = {str(name != 'neg').lower()}" for name in TOKENS
    ]
    (folder / "modes.toml").write_text("\n".join(modes), encoding="utf-8")
    (folder / "columns.jsonl").write_text(
        json.dumps({"prompt": "a", f"column{NASTY}": "b"}), encoding="utf-8"
    )
    attack = {"name": f"attack{NASTY}", "template": "Please: {prompt}"}
    (folder / "attacks.jsonl").write_text(json.dumps(attack), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        for name, token in TOKENS.items():
            patch.setenv(f"T_{name}", token)
        patch.setenv("COLUMNS", "500")  # no line begins within a name because it is broken there
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="module")
def said(place: Path) -> dict[str, Result]:
    """What every command says there, by its name."""
    inputs = ("--prompts", "prompts.jsonl", "--modes", "modes.toml", "--noise-prompts", 2)
    run = place / f"run{NASTY}"
    collected = ("collect", place / f"model{NASTY}", *inputs, "--out", run, "--layers", "0,1")
    done = {
        "no column": margin(
            *("collect", place / f"model{NASTY}", "--prompts", "columns.jsonl", "--modes", "modes.toml"),
            *("--out", "none"),
        ),
        "no attack": margin(*collected, "--attacks", "attacks.jsonl"),
        "collect": margin(*collected, "--generate", 3, "--controls", "none"),
    }
    rows = pd.read_parquet(run / "rows.parquet")
    for name, label in (("labels", "=label[red]|"), ("wrong", f"label{NASTY}")):
        labels = rows[["prompt_id", "condition", "draw"]].assign(
            label=[f"{label}{i % 2}" for i in range(len(rows))]
        )
        labels.to_json(place / f"{name}.jsonl", orient="records", lines=True)
    shutil.copytree(run, f"copy{NASTY}")
    done |= {
        "info": margin("info", run),
        "info --json": margin("info", run, "--json"),
        "probe": margin("probe", run, "--transfer", COLUMN),
        "probe --json": margin("probe", run, "--json"),
        "judge": margin("judge", run, "--judge", "labels.jsonl"),
        "judge --json": margin("judge", run, "--judge", "labels.jsonl", "--json", "--text"),
        "report": margin("report", run, "--permutations", 9, "--text"),
        "report --json": margin("report", run, "--permutations", 9, "--json"),
        "figures": margin("figures", run, "--only", "slices", "--format", "svg"),
        "compare": margin("compare", run, f"copy{NASTY}"),
        "baseline": margin("baseline", run, "--out", f"base{NASTY}.json"),
        "check": margin(
            *("check", run, "--baseline", f"base{NASTY}.json", "--slice", "other", "--max-leak", 1),
            *("--junit", "verdict.xml", "--summary", "summary.md"),
        ),
        "check --json": margin("check", run, "--baseline", f"base{NASTY}.json", "--max-leak", 1, "--json"),
        "no run": margin("report", f"nothing{NASTY}"),
        "no command": margin(f"wrong{NASTY}"),
        "no option": margin("report", run, f"--wrong{NASTY}"),
        "no mode": margin("judge", run, "--judge", "labels.jsonl", "--refusal-mode", f"mode{NASTY}"),
        "no slice": margin("check", run, "--baseline", f"base{NASTY}.json", "--slice", f"none{NASTY}"),
        "no label": margin("judge", run, "--judge", "wrong.jsonl"),
        "no figure": margin("figures", run, "--only", f"figure{NASTY}"),
        "sweep": margin(
            *("sweep", place / f"model{NASTY}", place / f"=model{NASTY}", *inputs, "--out", "sweep"),
            "--quiet",
        ),
    }
    return done


def test_every_command_did_its_work(said: dict[str, Result]) -> None:
    for name, result in said.items():
        expected = {2} if name.startswith("no ") else {0, 3}
        assert result.exit_code in expected, (name, result.output)
        assert "Traceback" not in result.output, name


def test_nothing_said_is_obeyed_by_a_terminal(said: dict[str, Result]) -> None:
    for name, result in said.items():
        for text in (result.stdout, result.stderr):
            assert (found := FORBIDDEN.search(text)) is None, (name, found, text)
            lines = [line for line in text.splitlines() if line.startswith("margin: all is well")]
            assert not lines, name


def test_errors_are_one_line(said: dict[str, Result]) -> None:
    for name, result in said.items():
        if name in ("no run", "no mode", "no slice", "no figure", "no attack", "no column"):
            assert len(result.stderr.strip().splitlines()) == 1, (name, result.stderr)


def test_no_file_of_text_is_obeyed_either(said: dict[str, Result], place: Path) -> None:
    written = [path for path in place.rglob("*") if path.is_file() and path.suffix in TEXT]
    names = {path.name for path in written if "model" not in str(path.parent)}
    assert {"report.md", "report.html", "report.json", "probe.json", "manifest.json"} <= names
    assert {"verdict.xml", "summary.md", "slices.svg", "trajectory.csv", "trajectory.json"} <= names
    for path in written:
        text = path.read_text(encoding="utf-8")
        assert (found := FORBIDDEN.search(text)) is None, (path.name, found)
        if path.suffix == ".md":
            assert "\nmargin: all is well" not in text, path.name


def test_data_still_says_what_was_there(said: dict[str, Result], place: Path) -> None:
    """JSON escapes and does not change; the columns of Markdown tables are as wide as their heads."""
    record = json.loads(said["report --json"].stdout)
    assert record["provenance"]["identity"]["model"].endswith(NASTY)
    assert json.loads(said["info --json"].stdout)["identity"]["model"].endswith(NASTY)
    assert COLUMN in record["worst_prompts"][0]
    JUnitXml.fromfile(str(place / "verdict.xml"))
    table: list[int] = []
    for line in (place / f"run{NASTY}" / "report" / "report.md").read_text(encoding="utf-8").splitlines():
        bars = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        table = [*table, bars] if bars else []
        assert len(set(table)) <= 1, line


def test_a_spreadsheet_computes_nothing(said: dict[str, Result], place: Path) -> None:
    with (place / "sweep" / "trajectory.csv").open(encoding="utf-8", newline="") as file:
        head, *lines = csv.reader(file)
    assert len(lines) == 2
    for name, value in (pair for line in lines for pair in zip(head, line, strict=True)):
        if name in ("checkpoint", "reference"):
            assert not value.startswith(("=", "+", "-", "@", "\t", "\r")), value
        elif value:
            float(value)


def test_numbers_stay_numbers_in_csv() -> None:
    table = pd.DataFrame({"name": ["-1", "a", None], "x": [-1.5, 2.0, float("nan")], "n": [-1, 2, 3]})
    back = pd.read_csv(BytesIO(csv_bytes(table)))
    assert back["x"].tolist()[:2] == [-1.5, 2.0]
    assert back["n"].tolist() == [-1, 2, 3]
    assert back["name"].tolist()[:2] == ["'-1", "a"]
    assert back["name"].isna().tolist() == [False, False, True]


def test_tables_for_papers_hold_no_control_characters() -> None:
    table = pd.DataFrame(
        {"name": [NASTY], "estimate": [0.1], "low": [0.0], "high": [0.2], f"c{NASTY}": [NASTY]}
    )
    for text in (
        latex_table(table, Facts(space=NASTY), caption=NASTY, label="tab:a", heading=NASTY),
        markdown_table(table, Facts(space=NASTY), caption=NASTY, heading=NASTY),
    ):
        assert FORBIDDEN.search(text) is None
        assert "all is well" in text


def test_a_console_passes_its_own_codes_and_no_others(capsys: pytest.CaptureFixture[str]) -> None:
    console = PlainConsole(force_terminal=True, color_system="standard", width=200)
    console.print(f"[red]{NASTY}[/nothing] :smile:", style="bold")
    text = capsys.readouterr().out
    assert text.startswith("\x1b[1m")
    assert "[red]" in text
    assert ":smile:" in text
    assert FORBIDDEN.search(re.sub("\x1b\\[[0-9;]*m", "", text)) is None


def test_json_text_is_read_back_as_it_was() -> None:
    for value in (NASTY, "安全 é \u200d", "\ud800", "\U000e0041", {"a": [1.5, None, NASTY]}):
        assert json.loads(json_text(value)) == value
        assert FORBIDDEN.search(json_text(value)) is None
    assert json_text("安") == '"安"'


def test_spelt_keeps_lines_and_shown_does_not() -> None:
    assert spelt("a\n\tb\x1b") == "a\n\tb[U+001B]"
    assert shown("a\n\tb\x1b") == "a b[U+001B]"


def run(*arguments: object, **settings: Any) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "margin", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, timeout=100, **settings)


def test_progress_on_a_real_terminal(place: Path) -> None:
    """Progress, tables and messages together, as a terminal of 60 columns gets them."""
    leader, follower = pty.openpty()
    inputs = ("--prompts", "prompts.jsonl", "--modes", "modes.toml", "--limit", "4", "--noise-prompts", "0")
    command = [sys.executable, "-m", "margin", "collect", f"model{NASTY}", *inputs, "--out", f"tty{NASTY}"]
    process = subprocess.Popen(
        command, stdout=follower, stderr=follower, env=os.environ | {"COLUMNS": "60", "TERM": "xterm"}
    )
    os.close(follower)
    got = b""
    try:
        while chunk := os.read(leader, 65536):
            got += chunk
    except OSError:  # how Linux says that nobody holds the other end any more
        pass
    assert process.wait(timeout=100) == 0, got
    text = got.decode()
    assert "collecting" in text
    assert "owned" in text
    own = re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "")
    assert FORBIDDEN.search(own) is None
    assert "\x1b[2J" not in text


def test_libraries_words_are_cleaned(place: Path, saved_checkpoint: Path) -> None:
    """transformers quotes the model's configuration in its errors and its logs."""
    model = place / "strange"
    shutil.copytree(saved_checkpoint, model)
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    for change in ({"model_type": f"type{NASTY}"}, {"dtype": NASTY}):
        (model / "config.json").write_text(json.dumps(config | change), encoding="utf-8")
        inputs = ("--prompts", "prompts.jsonl", "--modes", "modes.toml", "--limit", "2")
        done = run("collect", "strange", *inputs, "--out", "strange-run", cwd=place)
        assert FORBIDDEN.search(done.stderr.decode()) is None, done.stderr
        assert FORBIDDEN.search(done.stdout.decode()) is None


@pytest.mark.parametrize("encoding", ["ascii", "gbk"])
def test_other_encodings_get_every_number_and_no_traceback(
    said: dict[str, Result], place: Path, encoding: str
) -> None:
    folder = f"run{NASTY}"
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    done = run("report", folder, "--permutations", "9", cwd=place, env=environment)
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode(encoding)
    assert "margin (leave-prompt-out)" in text
    assert ">=" in text or "≥" in text or "[" in text
    done = run("info", folder, "--json", cwd=place, env=environment)
    assert json.loads(done.stdout.decode(encoding))["identity"]["model"].endswith(NASTY)


def test_bounds_keep_their_direction_in_ascii() -> None:
    script = (
        "from margin.streams import prepare, show; prepare(); "
        "show('\\u2265 0.1 \\u2264 0.2 \\u2013 \\u2717 \\u5b89')"
    )
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, env=environment)
    assert done.stdout == b">= 0.1 <= 0.2 - x ?\n", done.stderr


def test_show_and_show_json_print(capsys: pytest.CaptureFixture[str]) -> None:
    show("a\x1bb")
    show_json(json_text({"a": "安\x9b"}))
    assert capsys.readouterr().out == 'a[U+001B]b\n{"a": "安\\u009b"}\n'


@pytest.mark.parametrize(
    "command", ["::error::x", "  ::set-env name=A::b", "a ##[add-mask]b", "##vso[task.complete]"]
)
@pytest.mark.parametrize("way", ["say", "show", "tell", "console", "table", "wrapped", "log", "json"])
def test_no_text_is_a_command_of_a_ci_log(
    command: str, way: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    match way:
        case "say" | "show" | "tell":
            getattr(streams, way)(f"first\n{command}" if way != "say" else command)
        case "console":
            PlainConsole().print(f"first\n{command}")
        case "wrapped":
            PlainConsole(width=30).print("x" * 30 + command)
        case "table":
            table = Table("a", box=None, pad_edge=False, show_header=False)
            table.add_row(command)
            PlainConsole(width=60).print(table)
        case "log":
            monkeypatch.setattr(logging, "getLogRecordFactory", lambda: logging.LogRecord)
            monkeypatch.setattr(logging, "setLogRecordFactory", made.append)
            monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
            streams.prepare()
            print(made[0]("x", 30, "", 1, command, (), None).getMessage())
        case "json":
            streams.show_json(json_text({"a": [command]}, indent=1))
    said = capsys.readouterr()
    for line in (said.out + said.err).splitlines():
        assert not line.strip().startswith("::")
        assert "##[" not in line
        assert "##vso[" not in line
    if way == "json":
        assert json.loads(said.out) == {"a": [command]}


@pytest.mark.parametrize(
    "wrong", [("--positions", "{}"), ("--batch-tokens", "{}"), ("--{}", "1"), ("--out", "")]
)
def test_a_command_line_that_is_refused_shows_no_token(wrong: tuple[str, str], tmp_path: Path) -> None:
    modes = tmp_path / "modes.toml"
    modes.write_text("\n".join(f'[modes.{n}]\ntoken = "{t}"\nsafe = true' for n, t in TOKENS.items()))
    token = TOKENS["pos"]
    options = [word.format(token) for word in wrong]
    for way in (["--modes", modes], [f"--modes={modes}"]):
        done = margin("collect", token, "--prompts", "p.jsonl", *way, *options)
        assert done.exit_code == 2
        assert token not in done.output


@pytest.mark.parametrize(
    ("python", "module", "heard"),
    [
        ((), "sklearn.utils", False),
        ((), "torch", False),
        ((), "a_users_own", True),
        ((), "torchlike", True),
        (("-W", "default"), "sklearn.utils", True),
    ],
)
def test_libraries_are_not_heard_unless_python_is_asked_for_them(
    python: tuple[str, ...], module: str, heard: bool
) -> None:
    code = (
        "import sys, warnings\n"
        "from margin.commands.process import begin\n"
        "begin()\n"
        "warnings.warn_explicit('of its own affairs', UserWarning, 'file.py', 1, module=sys.argv[1])"
    )
    command = [sys.executable, *python, "-c", code, module]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert ("of its own affairs" in done.stderr) == heard
