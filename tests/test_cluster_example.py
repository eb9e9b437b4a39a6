"""The cluster's scripts do what they say, with a cluster's variables and no cluster."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from margin.demo import checkpoint_path, modes_path, prompts_path
from margin.run.run import open_run
from tests.throughput import throughput

SCRIPTS = Path(__file__).resolve().parents[1] / "examples" / "cluster"
PATIENCE = 200
"""Seconds after which a script counts as hanging."""


def start(script: str, *options: str, **variables: object) -> subprocess.CompletedProcess[str]:
    """Run a script as the scheduler would, with the `margin` and `accelerate` of this environment."""
    given = {"PROMPTS": prompts_path(), "MODES": modes_path(), "OMP_NUM_THREADS": 1} | variables
    path = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(
        ["bash", str(SCRIPTS / script), *options],
        env=os.environ | path | {name: str(value) for name, value in given.items()},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    """A folder of two checkpoints of one training."""
    folder = tmp_path / "training"
    folder.mkdir()
    (folder / "checkpoint-9").symlink_to(checkpoint_path("naive"))
    (folder / "checkpoint-10").symlink_to(checkpoint_path("cotrained"))
    return folder


def test_a_task_of_an_array_plans_and_collects_its_checkpoint(checkpoints: Path, tmp_path: Path) -> None:
    asked = {"CHECKPOINTS": checkpoints, "RUNS": tmp_path / "runs"}
    few = ("--limit", "4", "--decoys", "0", "--noise-prompts", "0")
    planned = start("array.sbatch", "--plan", *few, SLURM_ARRAY_TASK_ID=1, **asked)
    assert planned.returncode == 0, planned.stderr
    assert "12 rows" in planned.stdout
    assert not (tmp_path / "runs").exists()
    done = start("array.sbatch", *few, SLURM_ARRAY_TASK_ID=1, **asked)
    assert done.returncode == 0, done.stderr
    run = open_run(tmp_path / "runs" / "checkpoint-10")  # after 9, not after 1
    assert run.manifest.counts.prompts == 4


def test_what_a_script_lacks_it_says(checkpoints: Path, tmp_path: Path) -> None:
    asked = {"CHECKPOINTS": checkpoints, "RUNS": tmp_path / "runs"}
    beyond = start("array.sbatch", SLURM_ARRAY_TASK_ID=2, **asked)
    assert beyond.returncode != 0
    assert "there are only 2" in beyond.stderr
    alone = start("ranks.sbatch", CHECKPOINT=checkpoint_path("cotrained"), RUN=tmp_path / "run")
    assert alone.returncode != 0
    assert "sbatch --gpus" in alone.stderr


def test_processes_of_a_node_fill_one_run(tmp_path: Path) -> None:
    done = start(
        "ranks.sbatch",
        *("--limit", "6", "--decoys", "0", "--noise-prompts", "0", "--device", "cpu"),
        CHECKPOINT=checkpoint_path("cotrained"),
        RUN=tmp_path / "run",
        SLURM_GPUS_ON_NODE=2,
    )
    assert done.returncode == 0, done.stderr
    assert throughput(open_run(tmp_path / "run").manifest).ranks == 2
