"""Runs with answers: of the shipped checkpoint, made by transformers' own generate, and any others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from margin.capture.checkpoint import load_checkpoint
from margin.capture.collect import collect
from margin.demo import checkpoint_path, modes_path, prompts_path
from margin.inputs.chat import Chat
from margin.inputs.controls import Controls
from margin.inputs.echoes import redact_echoes
from margin.inputs.modes import load_modes
from margin.inputs.prompts import load_prompts
from margin.inputs.rows import build_control_rows, build_rows
from margin.run.files import sha256_of
from margin.run.run import ANSWERS, Run, open_run

PROMPTS, TOKENS, DRAWS = 24, 24, 2
KINDS = ("none", "random")


def with_answers(run: Run, texts: Sequence[str], tokens: int = TOKENS) -> Run:
    """The run with answers of its rows, in their order."""
    table = pd.DataFrame({"row": range(len(texts)), "answer": texts, "n_tokens": 1, "finished": True})
    table.to_parquet(run.path / ANSWERS)
    files = run.manifest.files | {ANSWERS: sha256_of(run.path / ANSWERS)}
    identity = run.manifest.identity | {"generate": tokens}
    replace(run.manifest, identity=identity, files=files).write(run.path)
    return open_run(run.path)


def demo_run(out: Path) -> Run:
    """The shipped co-trained checkpoint under its modes and two controls, with greedy answers."""
    checkpoint = load_checkpoint(checkpoint_path("cotrained"))
    run = collect(
        checkpoint,
        prompts=prompts_path(),
        modes=modes_path(),
        out=out,
        limit=PROMPTS,
        controls=KINDS,
        draws=DRAWS,
        noise_prompts=0,
        quiet=True,
    )
    modes, prompts = load_modes(modes_path()), load_prompts(prompts_path()).limit(PROMPTS)
    chat = Chat(checkpoint.tokenizer, {}, "", None)
    rows = build_rows(chat, prompts, modes)
    rows += build_control_rows(chat, prompts, modes, Controls(KINDS, draws=DRAWS), rows)
    texts = [redact_echoes(_answer(checkpoint, row.ids), modes) for row in rows]
    return with_answers(run, texts)


def _answer(checkpoint, ids: list[int]) -> str:
    import torch

    given = torch.tensor([ids])
    said = checkpoint.model.generate(
        given, attention_mask=torch.ones_like(given), max_new_tokens=TOKENS, do_sample=False, pad_token_id=0
    )
    return checkpoint.tokenizer.decode(said[0, len(ids) :], skip_special_tokens=True)
