"""Several processes fill one folder; whichever dies, the same command ends it with the same numbers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from examples.tiny.train import KINDS
from examples.tiny.train import prompts as tiny_prompts
from margin.capture.checkpoint import Checkpoint
from margin.capture.collect import collect
from margin.capture.ranks import Ranks, join_ranks
from margin.cli import main
from margin.demo import checkpoint_path, modes_path, prompts_path
from margin.errors import MarginError
from margin.launch import launched
from margin.run.manifest import read_manifest
from margin.run.run import open_run
from tests.margin.capture.test_resume import MODES, assert_same
from tests.throughput import throughput

# Collects as one rank; rank 1 dies by SIGKILL just before its share's given shard becomes whole.
SCRIPT = """
import json, os, signal, sys
from margin.capture.collect import collect
from margin.errors import MarginError
arguments, fatal = json.loads(sys.argv[1]), int(sys.argv[2])
replace, count = os.replace, 0
def watched(*paths):
    global count
    count += 1
    if count == fatal and os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*paths)
os.replace = watched
try:
    collect(**arguments, quiet=True)
except MarginError as error:
    sys.exit(f"margin: {error}")
"""
PATIENCE = 100
"""Seconds after which a launch counts as hanging."""


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
        "device": "cpu",
        "out": str(tmp_path / "run"),
    }


def start_rank(rank: int, count: int, port: int, arguments: dict[str, Any], fatal: int) -> Any:
    """One rank of a launch that nobody watches over."""
    launch = {
        "RANK": rank,
        "LOCAL_RANK": rank,
        "WORLD_SIZE": count,
        "LOCAL_WORLD_SIZE": count,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "OMP_NUM_THREADS": torch.get_num_threads(),
    }
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, json.dumps(arguments), str(fatal)],
        env=os.environ | {name: str(value) for name, value in launch.items()},
        stderr=subprocess.PIPE,
        text=True,
    )


def torchrun(count: int, arguments: dict[str, Any], script: Path) -> subprocess.CompletedProcess[str]:
    script.write_text(SCRIPT)
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    return subprocess.run(
        [sys.executable, *launcher, str(script), json.dumps(arguments), "0"],
        env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())},
        timeout=PATIENCE,
        capture_output=True,
        text=True,
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_rank_is_killed_and_other_numbers_of_ranks_finish(
    arguments: dict[str, Any], tmp_path: Path
) -> None:
    """Rank 0 notices by itself, without a launcher that would end it; then one rank, and three, finish."""
    port = free_port()
    ranks = [start_rank(rank, 2, port, arguments, fatal=2) for rank in range(2)]
    said = [process.communicate(timeout=PATIENCE)[1] for process in ranks]
    assert ranks[1].returncode == -signal.SIGKILL
    assert ranks[0].returncode == 1
    (line,) = [line for line in said[0].splitlines() if line.startswith("margin:")]
    assert "another rank ended before its share was done" in line
    assert not read_manifest(tmp_path / "run").complete
    kept = len(list((tmp_path / "run" / "shards").glob("[0-9]*")))
    assert kept == 5 + 1  # the whole share of rank 0, and what the other wrote before it died

    undisturbed = collect(**arguments | {"out": str(tmp_path / "undisturbed")}, quiet=True)
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    alone = collect(**arguments | {"out": str(tmp_path / "copy")}, quiet=True)
    assert throughput(alone.manifest).ranks == 1
    assert_same(alone, undisturbed)

    launch = torchrun(3, arguments, tmp_path / "script.py")
    assert launch.returncode == 0, launch.stderr
    together = type(alone)(tmp_path / "run", read_manifest(tmp_path / "run"))
    together.verify()
    assert throughput(together.manifest).ranks == 3
    assert throughput(together.manifest).rows == 34 - 4 * kept + 2  # the last shard is half full
    assert together.manifest.identity == undisturbed.manifest.identity
    assert_same(together, undisturbed)
    assert not list((tmp_path / "run").rglob(".*"))


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_every_shard_is_run_by_exactly_one_rank(count: int) -> None:
    todo = [1, 2, 3, 5, 8, 13, 21]
    shares = [Ranks(index, count).share(todo) for index in range(count)]
    assert sorted(chain.from_iterable(shares)) == todo
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_split_ranks_all_run_everything() -> None:
    assert Ranks(1, 2, split=True).share([3, 4]) == [3, 4]


def test_the_device_that_ranks_would_share_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert launched() == (1, 2)
    with pytest.raises(MarginError, match="spreads one model over all devices"):
        join_ranks("auto")


@pytest.mark.parametrize("name", ["WORLD_SIZE", "RANK"])
@pytest.mark.parametrize("value", ["x", "-1", "2.0", "\u00b2", "9" * 5000])
def test_a_launch_that_is_none_is_refused_in_a_line(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv(name, value)
    with pytest.raises(MarginError, match=f"^{name} is .*unset it$"):
        launched()
    refused = CliRunner().invoke(main, ["collect", "model", "--prompts", "p", "--modes", "m", "--out", "o"])
    assert refused.exit_code == 2
    assert refused.stderr.startswith(f"margin: {name} is ")


def test_what_a_launch_left_behind_is_said_in_a_line(tmp_path: Path) -> None:
    """WORLD_SIZE without a launcher's address, as of a batch system's job."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MASTER_")}
    command = [
        sys.executable,
        "-m",
        "margin",
        "collect",
        str(checkpoint_path("cotrained")),
        "--device",
        "cpu",
    ]
    inputs = ["--prompts", str(prompts_path()), "--modes", str(modes_path()), "--out", str(tmp_path / "run")]
    done = subprocess.run(
        command + inputs,
        env=environment | {"WORLD_SIZE": "2", "RANK": "0"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("margin: WORLD_SIZE says that 2 processes were launched")
    assert "Traceback" not in done.stderr


def test_alone_nothing_is_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "7")  # left over from something else
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert join_ranks(None) == Ranks()
    assert Ranks().from_first(lambda: 3) == 3
    Ranks().wait()
    assert not torch.distributed.is_initialized()


def test_ranks_share_what_is_thought_before_the_measured_token(
    tiny: Callable[[str], Checkpoint], tmp_path: Path
) -> None:
    checkpoint = tiny("qwen3")
    checkpoint.model.save_pretrained(tmp_path / "model")
    checkpoint.tokenizer.save_pretrained(tmp_path / "model")
    (tmp_path / "modes.toml").write_text(KINDS["qwen3"].toml)
    arguments: dict[str, Any] = {
        "model": str(tmp_path / "model"),
        "prompts": tiny_prompts()[:12],
        "modes": str(tmp_path / "modes.toml"),
        "measure_after": "thought",
        "thought_tokens": 28,
        "shard_rows": 8,
        "decoys": 0,
        "device": "cpu",
        "out": str(tmp_path / "run"),
    }
    launch = torchrun(2, arguments, tmp_path / "script.py")
    assert launch.returncode == 0, launch.stderr
    alone = collect(**arguments | {"out": str(tmp_path / "alone")}, quiet=True)
    assert_same(open_run(tmp_path / "run"), alone)
