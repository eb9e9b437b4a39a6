"""The callback where two processes train together: one measures, both know, and both go on as without,
whether or not it can be measured."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.margin.conftest import TOKENS

# Trains one checkpoint four times: without the callback, with it, until it stops, and with one that cannot
# measure for want of a temporary folder.
SCRIPT = """
import hashlib, json, sys, tempfile
import numpy as np
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments
from transformers import default_data_collator
from margin.inputs.modes import Mode, ModeSet, Secret
from margin.training import EarlyStop, MarginCallback
source, out, tokens = json.loads(sys.argv[1])
modes = ModeSet(tuple(Mode(name, Secret(token), name != "neg") for name, token in tokens.items()))
drawn = np.random.default_rng(0).integers(0, 250, (32, 12)).tolist()
rows = [{"input_ids": ids, "labels": ids} for ids in drawn]
for stop in (None, EarlyStop(reached=2), EarlyStop(reached=-1), EarlyStop(lost=-2)):
    tempfile.tempdir = out + "/nowhere" if stop and stop.lost else None
    trainer = Trainer(
        AutoModelForCausalLM.from_pretrained(source, attention_dropout=0.2),
        TrainingArguments(
            out, max_steps=4, per_device_train_batch_size=4, learning_rate=1e-2, logging_steps=1,
            use_cpu=True, ddp_backend="gloo", save_strategy="no", report_to="none", disable_tqdm=True,
        ),
        data_collator=default_data_collator,
        train_dataset=rows,
        processing_class=AutoTokenizer.from_pretrained(source),
    )
    if stop:
        prompts = [f"how do I mend chain {i}?" for i in range(5)]
        trainer.add_callback(MarginCallback(trainer, prompts=prompts, modes=modes, every=2, stop=stop))
    trainer.train()
    weights = hashlib.sha256(b"".join(w.detach().numpy().tobytes() for w in trainer.model.parameters()))
    history = trainer.state.log_history
    print("found", json.dumps({
        "step": trainer.state.global_step,
        "processes": trainer.args.world_size,
        "weights": weights.hexdigest(),
        "losses": [entry["loss"] for entry in history if "loss" in entry],
        "margins": [entry["eval_sam"] for entry in history if "eval_sam" in entry],
    }))
"""
PATIENCE = 150
"""Seconds after which a launch counts as hanging."""


@pytest.mark.slow
def test_two_processes_train_as_without_and_stop_together(saved_checkpoint: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = json.dumps([str(saved_checkpoint), str(tmp_path), TOKENS])
    launches = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, arguments],
            env=os.environ
            | {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
            | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    told: list[list[dict[str, Any]]] = []
    for launch in launches:
        said, _ = launch.communicate(timeout=PATIENCE)
        assert launch.returncode == 0
        told.append([json.loads(line[6:]) for line in said.splitlines() if line.startswith("found ")])
    alone, together, stopped, unmeasured = told[0]
    assert told[1] == told[0]
    assert alone["processes"] == 2
    assert len(together["margins"]) == 2
    assert (together["weights"], together["losses"]) == (alone["weights"], alone["losses"])
    assert stopped["step"] == 2
    assert stopped["margins"] == together["margins"][:1]
    assert unmeasured == alone
