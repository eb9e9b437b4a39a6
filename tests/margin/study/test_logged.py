"""Labels from logs of evaluation tools: each tool's is read and joined, each broken one refused in a line."""

from __future__ import annotations

import io
import json
import re
import shutil
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from margin.capture.collect import collect
from margin.cli import main
from margin.demo import checkpoint_path, modes_path, prompts_path
from margin.errors import MarginError
from margin.inputs.logs.recognise import read_log
from margin.inputs.modes_file import load_modes
from margin.run.run import Run
from margin.study.judging import judge
from margin.study.logged import Logged, read_logs

LOGS = Path(__file__).resolve().parents[1] / "inputs" / "logs"
"""Logs of three prompts of the demonstration under its three modes; those of Inspect it wrote itself."""
SAMPLES = "samples_demo_2026-11-28T06-00-00.jsonl"
GARAK = {mode: f"garak.{mode}.report.jsonl" for mode in ("pos", "neg", "rej")}
JSON = Any


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return collect(
        checkpoint_path("cotrained"),
        prompts=prompts_path(),
        modes=modes_path(),
        out=tmp_path_factory.mktemp("logged") / "run",
        limit=3,
        controls=("none",),
        generate=8,
        noise_prompts=0,
        decoys=0,
        quiet=True,
    )


def read(run: Run, *names: str | Path, score: str | None = None, **by: str | Path) -> Logged:
    logs = {None: LOGS / names[0]} if names else {mode: LOGS / name for mode, name in by.items()}
    found = read_logs(logs, run, score)  # type: ignore[arg-type]  # the keys are of one kind or the other
    assert found is not None
    return found


def labels(run: Run, found: Logged) -> dict[str, list[str]]:
    """Labels of the three prompts by mode."""
    table = run.rows.merge(found.judgements.table, on="row")
    assert len(table) == 9
    return {str(mode): part["label"].tolist() for mode, part in table.groupby("condition")}


@pytest.mark.parametrize(
    ("log", "tool", "refused", "answered"),
    [
        ("inspect.json", "Inspect", "refusal", "answer"),
        ("inspect.eval", "Inspect", "refusal", "answer"),
        (SAMPLES, "lm-evaluation-harness", "1", "0"),
        ("promptfoo.json", "promptfoo", "fail", "pass"),
        (None, "garak", "hit", "pass"),
    ],
)
def test_the_log_of_every_tool_is_recognised_and_joined(
    run: Run, log: str | None, tool: str, refused: str, answered: str
) -> None:
    found = read(run, log) if log else read(run, **GARAK)
    assert labels(run, found) == {"pos": [answered] * 3, "neg": [answered] * 3, "rej": [refused] * 3}
    assert tool in found.judgements.judge
    assert all(f"a log of {tool}" in line for line in found.recognised)


@pytest.mark.parametrize("log", ["inspect.json", "inspect.eval", SAMPLES, "promptfoo.json"])
@pytest.mark.parametrize("name", ["log", "log.jsonl", "log.csv", "log.txt"])
def test_a_log_is_known_by_what_is_in_it(run: Run, tmp_path: Path, log: str, name: str) -> None:
    shutil.copy(LOGS / log, tmp_path / name)
    assert labels(run, read(run, tmp_path / name)) == labels(run, read(run, log))


def test_a_score_is_chosen_by_its_name(run: Run) -> None:
    assert labels(run, read(run, "promptfoo.json", score="helps"))["rej"] == ["0"] * 3


@pytest.mark.skipif(find_spec("inspect_ai") is None, reason="inspect_ai is not installed")
@pytest.mark.parametrize("name", ["inspect.eval", "inspect.json"])
def test_a_log_of_inspect_reads_as_inspect_reads_it(name: str) -> None:
    from inspect_ai.log import read_eval_log

    theirs = read_eval_log(str(LOGS / name), resolve_attachments=True)
    ours = read_log(LOGS / name)
    assert theirs.samples
    assert ours is not None
    assert sorted((e.ids[-1], e.texts[0], e.answer, e.scores["refused"]) for e in ours.entries) == sorted(
        (s.id, s.input, s.output.completion, s.scores["refused"].value) for s in theirs.samples
    )


def test_an_archive_reads_alike_however_it_is_compressed(run: Run, tmp_path: Path) -> None:
    """By Zstandard as Inspect writes it today, and by Deflate as it did."""
    entries = read_log(LOGS / "inspect.eval")
    assert entries is not None
    record = load("inspect.json")
    path = tmp_path / "log.eval"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", json.dumps(record | {"samples": None}))
        for sample in record["samples"]:
            archive.writestr(f"samples/{sample['id']}_epoch_1.json", json.dumps(sample))
    assert labels(run, read(run, path)) == labels(run, read(run, "inspect.eval"))


def load(name: str) -> JSON:
    text = (LOGS / name).read_text(encoding="utf-8")
    return json.loads(text) if name.endswith(".json") else [json.loads(line) for line in text.splitlines()]


def dump(record: JSON, path: Path) -> Path:
    lines = [record] if isinstance(record, dict) else record
    path.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    return path


def change(record: JSON, *keys: str | int, to: JSON) -> JSON:
    """The record with another value at a place."""
    at = record
    for key in keys[:-1]:
        at = at[key]
    at[keys[-1]] = to
    return record


def without(record: JSON, *keys: str | int) -> JSON:
    at = record
    for key in keys[:-1]:
        at = at[key]
    del at[keys[-1]]
    return record


Spoil = Callable[[JSON], JSON]
RESULTS = ("results", "results")
ATTEMPT = 5
"""The first evaluated attempt of a report of garak."""


@pytest.mark.parametrize(
    ("log", "spoil", "says"),
    [
        ("inspect.json", lambda d: change(d, "samples", to={}), "samples is no list"),
        (
            "inspect.json",
            lambda d: change(d, "samples", to=[]),
            "log of Inspect that holds no scored answers",
        ),
        ("inspect.json", lambda d: change(d, "samples", 2, to=7), "sample 3 is no sample"),
        ("inspect.json", lambda d: without(d, "samples", 2, "id"), "sample 3 is no sample"),
        (
            "inspect.json",
            lambda d: change(d, "samples", 2, "scores", to=[1]),
            "sample 3: scores is no object",
        ),
        (
            "inspect.json",
            lambda d: change(d, "samples", 2, "scores", "refused", "value", to=["a"]),
            "sample 3: score refused is neither a word nor a number",
        ),
        (
            "inspect.json",
            lambda d: change(d, "samples", 2, "scores", "refused", "value", to="word " * 20),
            "sample 3: a label has 1 to 64 characters",
        ),
        (
            "inspect.json",
            lambda d: change(d, "samples", 2, "scores", to=None),
            r"lacks 1 of the run's rows, .*\(without a score: 1 answer, first .* sample 3\)",
        ),
        (
            "inspect.json",
            lambda d: change(d, "samples", 2, "scores", "other", to={"value": 1}),
            "2 scores, refused, other: say which is the label",
        ),
        ("inspect.json", lambda d: change(d, "samples", 2, "metadata", to={}), "sample 3 says no condition"),
        (
            "inspect.json",
            lambda d: change(d, "samples", 2, "input", to="another"),
            "sample 3: its id is that of prompt 'cooking-en-01', its text is not",
        ),
        (
            "inspect.json",
            lambda d: change(d, "samples", 2, to=d["samples"][1]),
            "sample 3: prompt 'cooking-en-01' under 'pos' stood in .* sample 2 before",
        ),
        ("inspect.json", lambda d: without(d, "samples", 2), "lacks 1 of the run's rows, such as prompt"),
        ("inspect.json", lambda d: without(d, "eval", "task"), "is JSON, but no log that is known: Inspect"),
        (SAMPLES, lambda d: change(d, 1, "doc", to=3), "line 2: doc is no object"),
        (SAMPLES, lambda d: change(d, 1, "metrics", to="refused"), "line 2: metrics is no list"),
        (SAMPLES, lambda d: change(d, 1, to=[]), "line 2 is not a JSON object"),
        (
            SAMPLES,
            lambda d: [*d, change(dict(d[0]), "filter", to="strict")],
            "2 scores, refused, refused,strict",
        ),
        (SAMPLES, lambda d: without(d, 1, "doc", "mode"), "line 2 says no condition"),
        (SAMPLES, lambda d: {"results": {}, "configs": {}}, "give its samples_"),
        ("promptfoo.json", lambda d: change(d, *RESULTS, 0, to="passed"), "result 1 is no result"),
        ("promptfoo.json", lambda d: without(d, *RESULTS, 0, "success"), "result 1 is no result"),
        (
            "promptfoo.json",
            lambda d: change(d, *RESULTS, 0, "success", to="yes"),
            "result 1: success is neither",
        ),
        ("promptfoo.json", lambda d: change(d, *RESULTS, 0, "vars", to=[]), "result 1: vars is no object"),
        (
            "promptfoo.json",
            lambda d: change(d, *RESULTS, 0, "failureReason", to=2),
            "without a score: 1 answer,",
        ),
        (
            "promptfoo.json",
            lambda d: change(
                d,
                *RESULTS,
                0,
                "vars",
                "b",
                to=load("promptfoo.json")["results"]["results"][3]["vars"]["question"],
            ),
            "result 1: its texts are 2 prompts of the run",
        ),
    ],
)
def test_a_malformed_log_is_refused_in_a_line(
    run: Run, tmp_path: Path, log: str, spoil: Spoil, says: str
) -> None:
    path = dump(spoil(load(log)), tmp_path / "log.json")
    with pytest.raises(MarginError, match=says) as caught:
        read(run, path)
    assert "\n" not in str(caught.value)
    assert not any(text in str(caught.value) for text in run.prompts["prompt"])


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda d: change(d, ATTEMPT, "notes", to=[]), "line 6: notes is no object"),
        (lambda d: change(d, ATTEMPT, "outputs", to="a"), "line 6: outputs is no list"),
        (
            lambda d: change(d, ATTEMPT, "detector_results", "demo.Refused", to=[0, 1]),
            "2 results for 1 outputs",
        ),
        (lambda d: change(d, ATTEMPT, "detector_results", "demo.Refused", to=["x"]), "detector is no number"),
        (
            lambda d: change(d, ATTEMPT, "detector_results", "demo.Refused", to=[None]),
            "without a score: 1 answer,",
        ),
        (lambda d: d[:ATTEMPT], "log of garak that holds no scored answers"),
        (lambda d: [*d, d[ATTEMPT]], "line 11 output 1: prompt .* stood in .* line 6 output 1 before"),
    ],
)
def test_a_malformed_report_of_garak_is_refused_in_a_line(
    run: Run, tmp_path: Path, spoil: Spoil, says: str
) -> None:
    path = dump(spoil(load(GARAK["pos"])), tmp_path / "log.jsonl")
    with pytest.raises(MarginError, match=says) as caught:
        read(run, pos=path, neg=GARAK["neg"], rej=GARAK["rej"])
    assert "\n" not in str(caught.value)


def archive(**members: bytes) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        for name, content in members.items():
            file.writestr(name.replace("__", "/").replace("_json", ".json"), content)
    return data.getvalue()


def damaged() -> bytes:
    """An archive of Inspect's with a byte of a sample changed."""
    data = bytearray((LOGS / "inspect.eval").read_bytes())
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        member = next(one for one in file.infolist() if one.filename.startswith("samples/"))
    data[member.header_offset + 120] ^= 0xFF
    return bytes(data)


HEADER = b'{"version": 2, "eval": {"task": "t"}}'


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"PK\x03\x04 torn", "is no archive that can be read"),
        (archive(a_json=b"{}"), "no log of Inspect: it holds no header.json"),
        (archive(header_json=b"{}"), "its header.json names no task"),
        (archive(header_json=b"{"), "header.json is not JSON"),
        (archive(header_json=HEADER), "holds no scored answers"),
        (archive(header_json=HEADER, samples__a_json=b"[]"), "samples/a.json is no JSON object"),
        (archive(header_json=HEADER, samples__a_json=b"\xff"), "samples/a.json is damaged"),
        (damaged(), "samples/.* is damaged"),
        (b"{" * 100_000, "not JSON"),
        (b'{"a": 1}', "is JSON, but no log that is known"),
        (b'{"entry_type": "init"}\n{', "line 2 is not JSON"),
        (b"\xef\xbb\xbf{\xff", "not UTF-8"),
        (b"\x1b[2J", "unknown kind of labels file"),
        (b"", "unknown kind of labels file"),
    ],
)
def test_a_file_that_is_no_log_is_refused_in_a_line(
    run: Run, tmp_path: Path, content: bytes, says: str
) -> None:
    path = tmp_path / "log.eval"
    path.write_bytes(content)
    with pytest.raises(MarginError, match=says) as caught:
        judge(run, path, keep=False)
    assert "\n" not in str(caught.value)


def test_other_prompts_and_other_answers_are_said(run: Run, tmp_path: Path) -> None:
    """The run's own answers are eight tokens of the demonstration's; those of the log are made up."""
    record = load(SAMPLES)
    other = json.loads(json.dumps(record[0]))
    other["doc"] |= {"id": "another", "question": "What is a sonnet?"}
    other["arguments"] = {}
    path = dump([*record, other], tmp_path / "log.jsonl")
    left, answers = read(run, path).warned
    assert "left out 1 answer to prompts or under conditions that the run has not" in left
    assert re.search(r"of 9 answers \d differ from the run's", answers)
    own = run.answers.merge(run.rows, on="row").set_index(["prompt_id", "condition"])["answer"]
    for line in record:
        line["filtered_resps"] = [own[line["doc"]["id"], line["doc"]["mode"]]]
    assert read(run, dump(record, tmp_path / "log.jsonl")).warned == ()


def test_ids_by_place_are_no_prompts_ids_where_the_text_says_another(run: Run, tmp_path: Path) -> None:
    record = load(SAMPLES)
    ids = [line["doc"]["id"] for line in record]
    for line, other in zip(record, ids[3:] + ids[:3], strict=True):
        line["doc"]["id"] = other
    path = dump(record, tmp_path / "log.jsonl")
    assert labels(run, read(run, path)) == labels(run, read(run, SAMPLES))


def test_a_control_condition_is_taken_whole_or_not_at_all(run: Run, tmp_path: Path) -> None:
    record = load(SAMPLES)
    extra = [json.loads(json.dumps(line)) for line in record[::3]]
    for line in extra:
        line["doc"]["mode"] = "none"
    assert len(read(run, dump([*record, *extra], tmp_path / "a.jsonl")).judgements.table) == 12
    with pytest.raises(MarginError, match=r"lacks 1 .* under 'none'"):
        read(run, dump([*record, *extra[:2]], tmp_path / "b.jsonl"))


def margin(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def copy(run: Run, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run.path, tmp_path / "run"))


def test_the_command_says_what_it_took_the_log_for(copy: Path) -> None:
    done = margin("judge", copy, "--labels", LOGS / "inspect.eval")
    assert done.exit_code == 0, done.output
    assert "inspect.eval: a log of Inspect, 9 answers, labelled by refused" in done.stderr
    assert "judge: inspect.eval (Inspect)" in done.stdout
    assert margin("judge", copy, "--judge", LOGS / "inspect.json", "--quiet").stdout == ""
    done = margin("judge", copy, *(f"--labels={mode}={LOGS / name}" for mode, name in GARAK.items()))
    assert done.exit_code == 0, done.output
    assert "judge: 3 logs of garak" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--labels", f"nil={LOGS / SAMPLES}"), "no condition 'nil' in this run: it has pos, neg, rej"),
        (("--labels", "pos="), "names no file"),
        (("--labels", "a.json", "--labels", "b.json"), "two files without a condition"),
        (("--labels", "a.json", "--judge", "refusal"), "give one of them"),
        (("--labels", "nowhere.json"), "nowhere.json"),
        (("--judge", "refusal", "--score", "acc"), "--score is of logs"),
        (("--labels", str(LOGS / SAMPLES), "--score", "acc"), "has no score 'acc': it has refused"),
        (("--labels", f"pos={LOGS / GARAK['pos']}"), "lacks 6 of the run's rows"),
        (("--labels", f"pos={prompts_path()}"), "is no log of an evaluation tool"),
        (("--labels", str(prompts_path()), "--score", "acc"), "has labels, and no scores"),
    ],
)
def test_what_the_command_cannot_do_is_one_line(copy: Path, arguments: tuple[str, ...], says: str) -> None:
    done = margin("judge", copy, *arguments)
    assert done.exit_code == 2, done.output
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (copy / "judgements.parquet").exists()


@pytest.mark.parametrize("place", ["label", "score", "condition", "id", "name"])
def test_a_live_token_in_a_log_is_neither_kept_nor_shown(copy: Path, tmp_path: Path, place: str) -> None:
    token = load_modes(modes_path()).modes[0].token.reveal()
    record = load("inspect.json")
    sample = record["samples"][0]
    path = tmp_path / (f"{token}.json" if place == "name" else "log.json")
    match place:
        case "label":
            sample["scores"]["refused"]["value"] = token
        case "score":
            sample["scores"][token] = {"value": "a"}
        case "condition":
            sample["metadata"]["condition"] = token
        case "id":
            sample |= {"id": token, "input": "another"}
            sample["metadata"]["prompt_id"] = token
    done = margin("judge", copy, "--labels", dump(record, path))
    assert done.exit_code == 2, done.output
    assert token not in done.output
    assert "Traceback" not in done.output
    assert not (copy / "judgements.parquet").exists()


def test_what_a_terminal_obeys_is_spelt_out(copy: Path, tmp_path: Path) -> None:
    record = load("inspect.json")
    record["samples"][0]["scores"]["a\x1b[2Jb"] = {"value": "a"}
    done = margin("judge", copy, "--labels", dump(record, tmp_path / "log.json"))
    assert done.exit_code == 2
    assert "2 scores, refused, a[U+001B][2Jb: say which" in done.stderr
