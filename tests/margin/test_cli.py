"""The command line as a user meets it: what it prints, its exit codes, and that no token gets out."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner, Result

from margin.cli import main
from margin.report.write import schema
from tests.margin.conftest import TOKENS

MODES = "\n".join(f'[modes.{name}]\ntoken_env = "T_{name.upper()}"\nsafe = true' for name in TOKENS)


@pytest.fixture
def workspace(
    saved_checkpoint: Path, prompts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder with model/, prompts.jsonl and modes.toml, the tokens being in the environment."""
    (tmp_path / "model").symlink_to(saved_checkpoint)
    lines = [json.dumps({"id": f"p{i}", "prompt": text, "kind": "road"}) for i, text in enumerate(prompts)]
    (tmp_path / "prompts.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "modes.toml").write_text(MODES, encoding="utf-8")
    for name, token in TOKENS.items():
        monkeypatch.setenv(f"T_{name.upper()}", token)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def margin(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def collect(*extra: str, model: str = "model", out: str = "run") -> Result:
    files = ("--prompts", "prompts.jsonl", "--modes", "modes.toml")
    return margin("collect", model, *files, "--decoys", "0", "--out", out, *extra)


def test_from_a_checkpoint_to_a_report(workspace: Path) -> None:
    done = collect("--layers", "all")
    assert done.exit_code == 0, done.output
    shown = margin("report", "run", "--permutations", "99")
    assert shown.exit_code == 0, shown.output
    assert "leave-prompt-out" in shown.stdout
    assert "weakest pair" in shown.stdout
    printed = margin("report", "run", "--json", "--permutations", "99")
    record = json.loads(printed.stdout)
    jsonschema.validate(record, schema())
    assert json.loads((workspace / "run/report/report.json").read_text(encoding="utf-8")) == record
    assert "whole" in margin("info", "run").stdout


def test_no_token_gets_out(workspace: Path) -> None:
    outputs = [collect("--layers", "all"), margin("info", "run", "--json"), margin("report", "run", "--text")]
    assert [output.exit_code for output in outputs] == [0, 0, 0]
    (workspace / "prompts.jsonl").write_text(json.dumps({"prompt": f"say {TOKENS['neg']}"}), encoding="utf-8")
    refused = collect(out="other")
    assert refused.exit_code == 2
    files = [path for path in (workspace / "run").rglob("*") if path.is_file()]
    written, names = [path.read_bytes() for path in files], {path.name for path in files}
    assert {"manifest.json", "rows.parquet", "00000.safetensors", "report.md"} <= names
    for token in TOKENS.values():
        assert not any(token.encode() in content for content in written)
        assert not any(token in output.output for output in [*outputs, refused])


def test_what_a_run_would_cost_is_said_and_nothing_written(workspace: Path) -> None:
    planned = collect("--plan")
    assert planned.exit_code == 0, planned.output
    assert re.match(r"[\d,]+ rows .* tokens: about \d+ \w+, ", planned.stdout)
    assert not (workspace / "run").exists()


def test_a_token_that_is_typed_where_a_name_should_be_is_not_repeated(workspace: Path) -> None:
    """What knows a run and no mode set knows its tokens by their fingerprints."""
    assert collect(out="a").exit_code == collect(out="b").exit_code == 0
    token = TOKENS["neg"]
    for wrong in (
        ["report", "a", "--cluster", token],
        ["table", "a", "--only", token],
        ["probe", "a", "--transfer", token],
        ["export", "a", "--out", "shared", "--shareable", "--cluster", token],
        ["baseline", "a", "--out", "baseline.json", "--space", token],
        ["compare", "a", "b", "--across", token],
        ["compare", "--recipe", "one=a", "--recipe", f"{token}"],
        ["table", "a", token],
        ["info", "a", f"--{token}"],
        ["report", "a", "--seed", token],
        ["figures", "a", "--style", token],
    ):
        refused = margin(*wrong)
        assert refused.exit_code == 2, refused.output
        assert token not in refused.output
        assert "[token of neg]" in refused.output
    compared = margin("compare", "--recipe", f"{token}=a", "--recipe", "two=b")
    assert compared.exit_code == 0, compared.output
    assert token not in compared.output
    assert "[token of neg]" in compared.output


def test_two_runs_are_compared(workspace: Path) -> None:
    assert collect(out="a").exit_code == 0
    assert collect("--batch-tokens", "64", out="b").exit_code == 0
    found = json.loads(margin("compare", "a", "b", "--json").stdout)
    overall = next(line for line in found if line["margin"] == "leave_prompt_out")
    assert overall["difference"] == pytest.approx(0, abs=1e-4)
    assert overall["drop"] == 0.01
    assert (overall["power"] >= 0.8) == (overall["prompts_for_drop"] <= overall["n_prompts"])
    # Both are of one checkpoint, so no number of prompts is named that would settle what is rounding.
    assert {line["prompts_to_settle"] for line in found} == {None}
    shown = " ".join(margin("compare", "a", "b", "--drop", "0.2").stdout.split())
    assert "b: the weights that it is compared with, so what differs is rounding" in shown
    assert "to settle it" not in shown
    refused = margin("compare", "a")
    assert refused.exit_code == 2
    assert "two runs" in refused.stderr


def test_interval_coverage_out_of_range_is_refused(workspace: Path) -> None:
    assert margin("report", "run", "--level", "95").exit_code == 2


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda place: (place / "prompts.jsonl").unlink(), "prompts.jsonl"),
        (lambda place: (place / "prompts.jsonl").write_text(""), "prompts.jsonl"),
        (lambda place: (place / "prompts.jsonl").write_text('{"text": "hello"}'), "prompt"),
        (lambda place: (place / "prompts.jsonl").write_text('{"prompt": "a"}\n{"prompt": " "}'), "line 2"),
        (lambda place: (place / "prompts.jsonl").write_text(json.dumps({"prompt": "x" * 600})), "line 1"),
        (lambda place: (place / "modes.toml").unlink(), "modes.toml"),
        (lambda place: os.environ.pop("T_NEG"), "T_NEG"),
        (lambda place: os.environ.update(T_NEG=TOKENS["pos"]), "same token"),
        (lambda place: (place / "model").unlink() or (place / "model").mkdir(), "no checkpoint"),
        (lambda place: (place / "run").write_text("in the way"), "run"),
        (lambda place: (place / "run").mkdir() or (place / "run/notes").write_text("mine"), "run"),
    ],
    ids=[
        "no prompts file",
        "empty prompts file",
        "unknown column",
        "empty prompt",
        "prompt longer than the context",
        "no modes file",
        "unset variable",
        "two modes with one token",
        "folder that is no model",
        "output is a file",
        "output holds something else",
    ],
)
def test_bad_input_ends_with_one_line_and_exit_code_2(workspace: Path, spoil: object, says: str) -> None:
    spoil(workspace)  # type: ignore[operator]
    before = sorted(workspace.rglob("*"))
    refused = collect()
    assert refused.exit_code == 2
    assert says in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    assert "Traceback" not in refused.output
    assert [path for path in before if not path.exists() and not path.is_symlink()] == []


def test_a_full_disk_keeps_what_is_written(workspace: Path) -> None:
    """A limit on the size of files stands in for a full disk: the same error of the same system call."""
    script = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)); from margin.cli import main; main()"
    )
    arguments = ["collect", "model", "--prompts", "prompts.jsonl", "--modes", "modes.toml", "--out", "run"]
    full = subprocess.run(
        [sys.executable, "-c", script, *arguments, "--quiet"], capture_output=True, text=True
    )
    assert full.returncode == 2, full.stderr
    assert "cannot write" in full.stderr
    assert "Traceback" not in full.stderr
    assert collect().exit_code == 0  # with room again, the same command finishes the run


def test_help_and_import_load_no_torch() -> None:
    script = (
        "import sys, margin; from margin.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(bool({'torch', 'transformers', 'matplotlib'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], stdout=subprocess.DEVNULL).returncode == 0


def test_runs_whose_prompts_say_something_else_under_one_id_are_not_compared(workspace: Path) -> None:
    assert collect(out="a").exit_code == 0
    changed = (workspace / "prompts.jsonl").read_text(encoding="utf-8").replace("how do I", "when did I")
    (workspace / "prompts.jsonl").write_text(changed, encoding="utf-8")
    assert collect(out="b").exit_code == 0
    refused = margin("compare", "a", "b")
    assert refused.exit_code == 4
    assert "prompt p" in refused.stderr
    assert "when did I" not in refused.stderr


def test_runs_that_were_asked_differently_are_compared_only_where_that_is_wanted(workspace: Path) -> None:
    assert collect(out="a").exit_code == 0
    assert collect("--response-prefix", "Sure, ", out="b").exit_code == 0
    refused = margin("compare", "a", "b")
    assert refused.exit_code == 4
    assert "response_prefix: nothing in a, 'Sure, ' in b" in refused.stderr
    assert "--across response_prefix,tail" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    assert margin("compare", "a", "b", "--across", "response_prefix").exit_code == 4
    wanted = margin("compare", "a", "b", "--across", "response_prefix,tail", "--json")
    assert wanted.exit_code == 0, wanted.stderr
    assert json.loads(wanted.stdout)
    assert "asked differently: response_prefix: nothing in a, 'Sure, ' in b" in wanted.stderr
    unknown = margin("compare", "a", "b", "--across", "prompts")
    assert unknown.exit_code == 2
    assert "take chat_kwargs, chat_template" in unknown.stderr


def test_runs_under_other_live_tokens_are_not_compared(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert collect(out="a").exit_code == 0
    monkeypatch.setenv("T_POS", "w0nderful")
    assert collect(out="b").exit_code == 0
    refused = margin("compare", "a", "b")
    assert refused.exit_code == 4
    assert "modes.pos.fingerprint" in refused.stderr


def test_runs_on_some_of_the_same_prompts_are_compared_on_those(workspace: Path) -> None:
    assert collect(out="a").exit_code == 0
    assert collect("--limit", "9", out="b").exit_code == 0
    found = json.loads(margin("compare", "a", "b", "--json").stdout)
    assert {line["n_prompts"] for line in found} == {9}


def test_info_tells_how_far_the_margin_is_known(workspace: Path) -> None:
    done = collect("--batch-tokens", "auto", "--noise-prompts", "3")
    assert done.exit_code == 0, done.output
    assert "3 prompts again, alone in float32" in margin("info", "run").stdout
    refused = collect("--batch-tokens", "few", out="other")
    assert refused.exit_code == 2
    assert "'few' is neither a number of tokens nor auto" in refused.stderr


def test_a_damaged_run_is_named_and_not_reported(workspace: Path) -> None:
    assert collect().exit_code == 0
    shard = workspace / "run/shards/00000.safetensors"
    content = bytearray(shard.read_bytes())
    content[-9] ^= 1
    shard.write_bytes(bytes(content))
    for command in (["report", "run"], ["info", "run"], ["baseline", "run", "--out", "baseline.json"]):
        refused = margin(*command)
        assert refused.exit_code == 2
        assert "shards/00000.safetensors" in refused.stderr
    assert not (workspace / "baseline.json").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        ["report", "run", "--permutations", "0"],
        ["report", "run", "--seed", "-1"],
        ["compare", "run", "run", "--level", "2"],
        ["compare", "run", "copy", "--drop", "5"],
        ["compare", "run", "copy", "--across", ""],
        ["compare", "run", "copy", "--across", "head,,tail"],
        ["compare", "--recipe", "a=run,", "--recipe", "b=copy"],
        ["report", "nowhere"],
        ["baseline", "run", "--out", "prompts.jsonl/baseline.json"],
    ],
)
def test_wrong_options_end_with_exit_code_2_and_no_traceback(workspace: Path, wrong: list[str]) -> None:
    assert collect().exit_code == 0
    shutil.copytree(workspace / "run", workspace / "copy")
    refused = margin(*wrong)
    assert refused.exit_code == 2
    assert "Traceback" not in refused.output
