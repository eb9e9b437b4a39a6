"""A model whose layers lie elsewhere, or in parts, gives the numbers of one that lies on one device."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from margin.capture.checkpoint import Checkpoint
from margin.capture.collect import collect
from margin.capture.head import load_head
from margin.capture.placement import devices_of, input_device, on_one_device
from margin.errors import MarginError
from margin.inputs.modes import ModeSet
from margin.run.run import Run, open_run
from tests.margin.capture.test_resume import MODES
from tests.throughput import throughput

CPU = torch.device("cpu")
NAMES = ("model.embed_tokens", "model.layers.0", "model.layers.1", "model.layers.2", "model.norm", "lm_head")
OFFLOADED = {
    "the middle": ("model.layers.1",),
    "embeddings and head": ("model.embed_tokens", "lm_head"),
    "everything": (*NAMES, "model.rotary_emb"),
}


@pytest.fixture(scope="module")
def expected(
    saved_checkpoint: Path, prompts: list[str], modes: ModeSet, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    return collect(
        str(saved_checkpoint),
        prompts=prompts,
        modes=modes,
        layers="all",
        device="cpu",
        out=tmp_path_factory.mktemp("one device"),
        decoys=0,
        quiet=True,
    )


def assert_close(run: Run, expected: Run) -> None:
    assert run.manifest.identity.weights == expected.manifest.identity.weights
    np.testing.assert_allclose(run.states(), expected.states(), rtol=1e-4, atol=1e-5)
    for layer in expected.layers:
        np.testing.assert_allclose(run.layer(layer), expected.layer(layer), rtol=2e-3, atol=2e-3)
    for space in ("logits", "logprobs"):
        gram = expected.logit_geometry().gram(space)
        np.testing.assert_allclose(
            run.logit_geometry().gram(space), gram, rtol=1e-4, atol=1e-4 * np.abs(gram).max()
        )
    np.testing.assert_allclose(run.pairs["js_bits"], expected.pairs["js_bits"], atol=1e-5)


@pytest.mark.parametrize("offloaded", OFFLOADED)
def test_weights_on_disk_between_passes(
    offloaded: str,
    expected: Run,
    saved_checkpoint: Path,
    prompts: list[str],
    modes: ModeSet,
    tmp_path: Path,
) -> None:
    away = OFFLOADED[offloaded]
    model = AutoModelForCausalLM.from_pretrained(
        saved_checkpoint,
        device_map={name: "disk" if name in away else "cpu" for name in (*NAMES, "model.rotary_emb")},
        offload_folder=str(tmp_path / "offload"),
    )
    checkpoint = Checkpoint(model, AutoTokenizer.from_pretrained(saved_checkpoint), saved_checkpoint.name)
    assert not on_one_device(model)
    assert (input_device(model), devices_of(model)) == (CPU, [CPU])
    run = collect(
        checkpoint,
        prompts=prompts,
        modes=modes,
        layers="all",
        out=tmp_path / "run",
        noise_prompts=2,
        decoys=0,
        quiet=True,
    )
    assert run.manifest.batching.reuse_prefix
    assert run.manifest.environment.device == "cpu"
    assert_close(run, expected)
    np.testing.assert_allclose(
        run.logits(load_head(checkpoint)), run.logits(load_head(saved_checkpoint, device="cpu")), rtol=1e-5
    )
    assert {weight.device.type for weight in model.parameters()} >= {"meta"}  # left where it was


def test_spread_by_itself(
    expected: Run, saved_checkpoint: Path, prompts: list[str], modes: ModeSet, tmp_path: Path
) -> None:
    run = collect(
        str(saved_checkpoint),
        prompts=prompts,
        modes=modes,
        layers="all",
        device="auto",
        out=tmp_path,
        decoys=0,
        quiet=True,
    )
    assert_close(run, expected)


def test_split_needs_ranks(saved_checkpoint: Path, modes: ModeSet, tmp_path: Path) -> None:
    with pytest.raises(MarginError, match="start it with torchrun"):
        collect(str(saved_checkpoint), prompts=["a", "b"], modes=modes, out=tmp_path, device="tp")


SPLIT = """
import json, sys
from margin.capture.collect import collect
collect(**json.loads(sys.argv[1]), quiet=True)
"""


def test_every_layer_split_over_two_ranks(saved_checkpoint: Path, prompts: list[str], tmp_path: Path) -> None:
    """Tensor-parallel over gloo: each rank holds a part of every layer, and rank 0 writes what one would."""
    (tmp_path / "modes.toml").write_text(MODES)
    (tmp_path / "script.py").write_text(SPLIT)
    arguments: dict[str, Any] = {
        "model": str(saved_checkpoint),
        "prompts": prompts,
        "modes": str(tmp_path / "modes.toml"),
        "layers": "all",
        "shard_rows": 20,
        "noise_prompts": 2,
    }
    split = arguments | {"device": "tp", "out": str(tmp_path / "split")}
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    launch = subprocess.run(
        [sys.executable, *launcher, str(tmp_path / "script.py"), json.dumps(split)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=100,
        capture_output=True,
        text=True,
    )
    assert launch.returncode == 0, launch.stderr
    whole = collect(**arguments, device="cpu", out=tmp_path / "whole", quiet=True)
    run = open_run(tmp_path / "split")
    assert run.manifest.identity == whole.manifest.identity
    assert throughput(run.manifest).ranks == 2
    assert_close(run, whole)
