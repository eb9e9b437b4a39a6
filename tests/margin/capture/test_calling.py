"""A model is called by the names that the installed release of transformers has for things."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from transformers.utils import logging as transformers_logging

from margin.capture.calling import CACHES, cache_argument
from margin.capture.checkpoint import load_checkpoint
from margin.capture.collect import collect
from margin.demo import checkpoint_path, modes_path, prompts_path
from margin.inputs.chat import Chat
from margin.inputs.modes_file import load_modes
from margin.inputs.prompts import load_prompts
from margin.inputs.rows import build_rows
from tests.throughput import tokens_run


def test_the_fast_paths_are_on_for_the_demonstration(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release that calls its cache otherwise takes them away, and the numbers do not tell."""
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    transformers_logging.warning_once.cache_clear()
    checkpoint = load_checkpoint(checkpoint_path("cotrained"))
    model = checkpoint.model
    assert cache_argument(model) == cache_argument(model.get_decoder().layers[-1]) in CACHES

    with caplog.at_level(logging.WARNING, logger="transformers"):
        run = collect(
            checkpoint,
            prompts=prompts_path(),
            modes=modes_path(),
            out=tmp_path / "run",
            limit=12,
            decoys=0,
            quiet=True,
        )
    batching = run.manifest.batching
    assert [getattr(batching, way) for way in ("reuse_prefix", "pad", "together", "narrow")] == [True] * 4
    prompts = load_prompts(prompts_path()).limit(12)
    rows = build_rows(Chat(checkpoint.tokenizer), prompts, load_modes(modes_path()))
    assert tokens_run(run.manifest) < sum(len(row.ids) for row in rows)
    assert not [record.message for record in caplog.records if "deprecated" in record.message]
