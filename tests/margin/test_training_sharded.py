"""The margin of a model that FSDP2 or ZeRO-3 shards over two processes while it trains."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from safetensors.torch import load_file

from margin.capture.checkpoint import Checkpoint
from margin.capture.collect import collect
from margin.study.training_log import readings
from tests.margin.capture.test_resume import MODES
from tests.margin.sharded_training import (
    EVERY,
    FAILURES,
    KINDS,
    NO_ROOM,
    STEPS,
    ZERO3,
    bare_model,
    weights_at,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PATIENCE = 100
"""Seconds after which a launch counts as hanging."""
RANKS = 2

Ended = list[dict[str, Any]]
"""What each rank says of each training."""


@pytest.fixture(scope="module")
def folder(saved_checkpoint: Path, prompts: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a launch trains, and where it leaves what it finds."""
    folder = tmp_path_factory.mktemp("sharded")
    (folder / "model").symlink_to(saved_checkpoint)
    (folder / "modes.toml").write_text(MODES)
    (folder / "prompts.jsonl").write_text("".join(json.dumps({"prompt": text}) + "\n" for text in prompts))
    return folder


def launched(folder: Path, what: str) -> Ended:
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={RANKS}"]
    launch = subprocess.run(
        [sys.executable, *launcher, "-m", "tests.margin.sharded_training", str(folder), what],
        env=os.environ | {"OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"},
        timeout=PATIENCE,
        capture_output=True,
        text=True,
    )
    assert launch.returncode == 0, launch.stderr
    return [json.loads((folder / f"{what}-{rank}.json").read_text()) for rank in range(RANKS)]


@pytest.fixture(scope="module")
def by_fsdp2(folder: Path) -> Ended:
    return launched(folder, "kinds")


@pytest.fixture(scope="module")
def by_zero3(folder: Path) -> Ended:
    pytest.importorskip("deepspeed", reason="DeepSpeed is not among the project's requirements")
    return launched(folder, "zero3")


@pytest.fixture
def trained(kind: str, request: pytest.FixtureRequest) -> Ended:
    ended: Ended = request.getfixturevalue("by_zero3" if kind in ZERO3 else "by_fsdp2")
    return ended


@pytest.fixture(scope="module")
def failed(folder: Path) -> Ended:
    return launched(folder, "failures")


@pytest.mark.parametrize("kind", [*KINDS, *ZERO3])
def test_training_goes_on_as_it_would_have_without(trained: Ended, kind: str) -> None:
    """Losses, norms, weights and moments to the last bit, on either rank; modes, kinds, hooks and streams."""
    for rank in trained:
        assert rank[kind]["together"]["end"] == rank[kind]["alone"]["end"]
        assert len(set(rank[kind]["alone"]["end"]["losses"])) == STEPS
        assert rank[kind]["together"]["warned"] == []


@pytest.mark.parametrize("kind", [*KINDS, *ZERO3])
def test_what_is_logged_is_what_the_gathered_weights_give(
    trained: Ended,
    folder: Path,
    tokenizer: PreTrainedTokenizerFast,
    prompts: list[str],
    tmp_path: Path,
    kind: str,
) -> None:
    """Gathered by torch or DeepSpeed, and measured in one process by a model that was never sharded."""
    logged = trained[0][kind]["together"]["margins"]
    assert list(logged) == [str(EVERY), str(STEPS)]
    assert trained[1][kind]["together"]["margins"] == logged
    for step, found in logged.items():
        model = bare_model(kind, folder)
        model.load_state_dict(load_file(weights_at(folder, kind, int(step))), strict=kind != "own")
        whole = model.merge_and_unload() if "lora" in kind else model
        run = collect(
            Checkpoint(whole.eval(), tokenizer, "whole"),
            prompts=prompts,
            modes=folder / "modes.toml",
            out=tmp_path / step,
            controls=["random"],
            decoys=0,
            quiet=True,
        )
        expected = readings(run, 0.95, None)
        assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    assert logged[str(EVERY)]["eval_sam"] != pytest.approx(logged[str(STEPS)]["eval_sam"], abs=1e-4)


@pytest.mark.parametrize("failure", FAILURES)
def test_what_fails_on_one_process_is_a_warning_on_all_and_ends_no_training(
    failed: Ended, failure: str
) -> None:
    for rank in failed:
        assert [text.split(": ")[0][-1] for text in rank[failure]["warned"]] == [str(EVERY), str(STEPS)]
        assert rank[failure]["margins"] == {}
        assert rank[failure]["end"] == rank["alone"]["end"]
    assert failed[0][failure]["warned"] == failed[1][failure]["warned"]


def test_no_room_for_the_whole_model_is_said_in_a_line(failed: Ended) -> None:
    (first, _) = failed[0][NO_ROOM]["warned"]
    assert "the first process has no room for the whole model, which takes 0.0 GB and finds 0.0 GB" in first
    assert "margin sweep" in first


def test_the_first_fsdp_is_refused_before_training(failed: Ended) -> None:
    for rank in failed:
        assert (
            "the first FSDP spreads the model over processes: set version 2 in fsdp_config"
            in rank["version 1"]
        )
