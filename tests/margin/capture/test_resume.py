"""Whatever happens to a run, the same command ends it with the numbers of an undisturbed one, or refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file

from margin.capture.checkpoint import Checkpoint
from margin.capture.collect import collect
from margin.errors import IncomparableError, MarginError
from margin.inputs.modes import Mode, ModeSet, Secret
from margin.run.manifest import read_manifest
from margin.run.run import Run, open_run
from tests.throughput import throughput

MODES = """
[modes.pos]
token = "zqkw81vx"
safe = true
[modes.neg]
token = "p0rt7yhm"
safe = false
"""

# Collects in a process of its own; with a number, dies by SIGKILL just before that file becomes whole.
SCRIPT = """
import json, os, signal, sys
from margin.capture.collect import collect
arguments, fatal = json.loads(sys.argv[1]), int(sys.argv[2])
replace, count = os.replace, 0
def watched(*paths):
    global count
    count += 1
    if count == fatal:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*paths)
os.replace = watched
collect(**arguments, quiet=True)
"""


@pytest.fixture
def arguments(saved_checkpoint: Path, prompts: list[str], tmp_path: Path) -> dict[str, Any]:
    """What to collect: 34 rows in 9 shards."""
    (tmp_path / "modes.toml").write_text(MODES)
    return {
        "model": str(saved_checkpoint),
        "prompts": prompts,
        "modes": str(tmp_path / "modes.toml"),
        "layers": "all",
        "shard_rows": 4,
        "decoys": 0,
        "out": str(tmp_path / "run"),
    }


def start(arguments: dict[str, Any], fatal: int = 0) -> subprocess.Popen[bytes]:
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, json.dumps(arguments), str(fatal)], env=environment
    )


def contents(run: Run) -> dict[str, Any]:
    """All numbers of a run, by file and name."""
    found: dict[str, Any] = {}
    for path in sorted(run.path.rglob("*.safetensors")):
        found |= {f"{path.name}:{name}": array for name, array in load_file(path).items()}
    for path in run.path.glob("*.parquet"):
        found[path.name] = pd.read_parquet(path)
    return found


def assert_same(run: Run, other: Run) -> None:
    found, expected = contents(run), contents(other)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        if isinstance(values, pd.DataFrame):
            pd.testing.assert_frame_equal(found[name], values)
        else:
            np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_killed_as_soon_as_a_shard_is_there(arguments: dict[str, Any], tmp_path: Path) -> None:
    shards = tmp_path / "run" / "shards"
    process = start(arguments)
    while not (shards / "00000.safetensors").exists():
        assert process.poll() is None, "ended before it wrote a shard"
        time.sleep(0.0005)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not read_manifest(tmp_path / "run").complete
    with pytest.raises(MarginError, match="not whole: run the same collect command again"):
        open_run(tmp_path / "run")

    kept = {path.name: path.stat().st_mtime_ns for path in shards.glob("[0-9]*")}
    resumed = collect(**arguments, quiet=True)
    assert throughput(resumed.manifest).rows == 34 - 4 * len(kept)
    assert all((shards / name).stat().st_mtime_ns == written for name, written in kept.items())
    assert_same(resumed, collect(**arguments | {"out": str(tmp_path / "undisturbed")}, quiet=True))


@pytest.mark.parametrize("fatal", [1, 6, 14])
def test_killed_at_the_moment_a_file_would_be_whole(
    fatal: int, arguments: dict[str, Any], tmp_path: Path
) -> None:
    """The first manifest; the third shard; what the head pass writes."""
    assert start(arguments, fatal).wait() == -signal.SIGKILL
    resumed = collect(**arguments, quiet=True)
    resumed.verify()
    assert not list(resumed.path.rglob(".*"))
    assert_same(resumed, collect(**arguments | {"out": str(tmp_path / "undisturbed")}, quiet=True))


def test_a_whole_run_is_not_collected_again(arguments: dict[str, Any], tmp_path: Path) -> None:
    collect(**arguments, quiet=True)
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*.*")}
    collect(**arguments, quiet=True)
    assert written == {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*.*")}


def test_any_flipped_byte_is_found_named_and_collected_again(
    arguments: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = collect(**arguments, quiet=True)
    expected = {path: path.read_bytes() for path in run.path.rglob("*.*") if path.is_file()}
    rng = np.random.default_rng(0)
    for path, data in expected.items():
        if path.name == "manifest.json":
            continue
        for place in [0, 9, len(data) - 1, *rng.integers(len(data), size=5)]:
            path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
            with pytest.raises(MarginError, match=path.name):
                open_run(run.path).verify()
        again = collect(**arguments, quiet=True)
        again.verify()
        assert path.read_bytes() == data
        if path.parent.name == "shards":
            assert path.name in capsys.readouterr().err


def test_a_flipped_byte_in_the_manifest_is_found(arguments: dict[str, Any], tmp_path: Path) -> None:
    path = collect(**arguments, quiet=True).path / "manifest.json"
    data = path.read_bytes()
    for place in range(0, len(data), 7):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(MarginError, match=r"manifest\.json"):
            open_run(path.parent)


def test_a_damaged_shard_of_a_run_that_is_not_whole_is_found(
    arguments: dict[str, Any], tmp_path: Path
) -> None:
    start(arguments, fatal=8).wait()
    shard = tmp_path / "run" / "shards" / "00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(MarginError, match=r"shards/00002\.safetensors"):
        Run(tmp_path / "run", read_manifest(tmp_path / "run")).verify()
    resumed = collect(**arguments, quiet=True)
    assert_same(resumed, collect(**arguments | {"out": str(tmp_path / "undisturbed")}, quiet=True))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"prompts": ["another one"]}, "prompts"),
        ({"layers": "0,1"}, "layers"),
        ({"dtype": "bfloat16"}, "dtype"),
        ({"top_k": 5}, "top_k"),
        ({"response_prefix": "Sure"}, "response_prefix"),
        ({"chat_template": "{% for m in messages %}{{ m['content'] }}|{% endfor %}>"}, "chat_template"),
        ({"save_logits": True}, "save_logits"),
        (
            {
                "modes": ModeSet(
                    (Mode("pos", Secret("zqkw81vx"), True), Mode("neg", Secret("0th3r9qz"), False))
                )
            },
            "modes",
        ),
    ],
)
def test_another_run_is_refused_with_the_difference_named(
    change: dict[str, Any], named: str, arguments: dict[str, Any], tmp_path: Path
) -> None:
    run = collect(**arguments, quiet=True)
    before = (run.path / "manifest.json").read_bytes()
    with pytest.raises(IncomparableError, match=named) as refusal:
        collect(**arguments | change, quiet=True)
    assert "\n" not in str(refusal.value)
    assert (run.path / "manifest.json").read_bytes() == before
    run.verify()


def test_other_weights_are_refused(
    arguments: dict[str, Any], make_checkpoint: Callable[..., Checkpoint]
) -> None:
    first = make_checkpoint(seed=0)
    collect(**arguments | {"model": first}, quiet=True)
    with torch.no_grad():
        next(first.model.parameters())[0, 0] += 1e-3
    with pytest.raises(IncomparableError, match="weights"):
        collect(**arguments | {"model": first}, quiet=True)


def test_a_failed_start_does_not_block_the_folder(arguments: dict[str, Any]) -> None:
    with pytest.raises(MarginError):
        collect(**arguments | {"model": arguments["model"] + "-not-there"}, quiet=True)
    collect(**arguments, quiet=True).verify()


def test_a_folder_with_something_else_is_left_alone(arguments: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("ten years of work")
    with pytest.raises(MarginError, match="holds no run"):
        collect(**arguments, quiet=True)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.tex"]


def test_broken_numbers_stop_the_run_with_the_prompts_named(
    make_checkpoint: Callable[..., Checkpoint], arguments: dict[str, Any], tokenizer: Any
) -> None:
    """A weight that is infinite for one character breaks the prompts that hold it, and no other."""
    checkpoint = make_checkpoint()
    (brace,) = tokenizer("{", add_special_tokens=False)["input_ids"]
    embeddings: Any = checkpoint.model.get_input_embeddings()
    with torch.no_grad():
        embeddings.weight[brace] = torch.inf
    prompts = pd.DataFrame(
        {"id": ["fine", "odd", "good"], "prompt": ["mend a chain", "mend {", "mend a tyre"]}
    )
    with pytest.raises(MarginError, match="NaN or infinity") as stopped:
        collect(**arguments | {"model": checkpoint, "prompts": prompts}, quiet=True)
    assert "odd" in str(stopped.value)
    assert "fine" not in str(stopped.value)
    assert "good" not in str(stopped.value)


def test_a_folder_in_the_place_of_a_shard_is_one_line(arguments: dict[str, Any]) -> None:
    run = collect(**arguments)
    shard = run.path / "shards" / "00000.safetensors"
    shard.unlink()
    shard.mkdir()
    with pytest.raises(MarginError, match=r"00000\.safetensors: Is a directory"):
        collect(**arguments)
