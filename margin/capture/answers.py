"""The model's own greedy answers, by transformers' `generate`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from transformers import GenerationConfig

from margin.capture.budget import Budget, within_memory
from margin.capture.checkpoint import Checkpoint
from margin.capture.placement import input_device
from margin.capture.plan import Batch, Ids, of_one_length
from margin.errors import MarginError
from margin.inputs.echoes import redact_echoes
from margin.inputs.modes import ModeSet
from margin.text import shown


@dataclass(frozen=True)
class Answer:
    """What a model says to a row, the likeliest token each time."""

    ids: tuple[int, ...]
    """Its tokens, without the one that ends it. They may spell out a live token: as secret as it is."""
    finished: bool
    """Whether the model ended it."""

    def cut(self, length: int) -> Answer:
        """What would have come of at most `length` tokens, the one that ends it included."""
        return Answer(self.ids[:length], self.finished and len(self.ids) < length)


def greedy_answers(
    checkpoint: Checkpoint,
    ids: Sequence[Ids],
    batches: Sequence[Batch],
    length: int,
    budget: Budget,
    *,
    mixed: bool,
    advance: Callable[[int], None] = lambda rows: None,
) -> dict[int, Answer]:
    """Answers of at most `length` tokens to the rows of some batches, by row.

    Greedy whatever the checkpoint's own defaults (sampling, penalties, suppressed tokens). Rows are padded on
    the left, with a mask; unless `mixed`, which is for models that attend by keys and values and nothing
    else, only rows of one length go together. `advance` is told of rows that are answered.

    Costs a pass a row and one a token. MarginError for a model
    that cannot generate.
    """
    model: Any = checkpoint.model
    if not model.can_generate():
        raise MarginError(f"{type(model).__name__} cannot generate: collect without --generate, --positions")
    ends, device = end_ids(checkpoint), input_device(model)

    def generate(batch: Batch) -> dict[int, Answer]:
        tokens, mask = padded_left([ids[row] for row in batch.rows])
        said = model.generate(tokens.to(device), attention_mask=mask.to(device))[:, tokens.shape[1] :]
        return {row: _answer(new, ends) for row, new in zip(batch.rows, said.tolist(), strict=True)}

    if not mixed:
        batches = of_one_length(batches, lambda row: len(ids[row]))
    found: dict[int, Answer] = {}
    with greedy(model, length, ends):
        for _, answers in within_memory(generate, batches, ids, budget):
            found |= answers
            advance(len(answers))
    return found


def end_ids(checkpoint: Checkpoint) -> list[int]:
    """Tokens that end an answer, by the generation defaults, the configuration or the tokenizer.

    MarginError where what stands there is no token id, nor several.
    """
    model: Any = checkpoint.model
    found: set[int] = set()
    for end in (
        model.generation_config.eos_token_id,
        getattr(model.config.get_text_config(decoder=True), "eos_token_id", None),
        checkpoint.tokenizer.eos_token_id,
    ):
        several = [] if end is None else list(end) if isinstance(end, list | tuple | set) else [end]
        if not all(type(one) is int for one in several):
            raise MarginError(
                f"eos_token_id of the checkpoint is {shown(repr(end))}: it must be ids of tokens"
            )
        found.update(several)
    return sorted(found)


def answers_table(checkpoint: Checkpoint, answers: dict[int, Answer], modes: ModeSet) -> pd.DataFrame:
    """The table `Run.answers` describes, of some rows; no token, nor what nearly is one, stands in it."""
    rows = sorted(answers)
    texts = (
        str(checkpoint.tokenizer.decode(list(answers[row].ids), skip_special_tokens=True)) for row in rows
    )
    return pd.DataFrame(
        {
            "row": pd.Series(rows, dtype="int64"),
            "answer": [redact_echoes(text, modes) for text in texts],
            "n_tokens": pd.Series([len(answers[row].ids) for row in rows], dtype="int64"),
            "finished": [answers[row].finished for row in rows],
        }
    )


def padded_left(rows: Sequence[Ids]) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, T) token ids of rows that end together, and which of them are real."""
    longest = max(map(len, rows))
    tokens = torch.zeros(len(rows), longest, dtype=torch.long)
    mask = torch.zeros_like(tokens)
    for line, real, row_ids in zip(tokens, mask, rows, strict=True):
        line[longest - len(row_ids) :], real[longest - len(row_ids) :] = torch.tensor(row_ids), 1
    return tokens, mask


@contextmanager
def greedy(model: Any, length: int, ends: list[int]) -> Iterator[None]:
    """The model with plain greedy search in place of its own defaults, which come back."""
    own = model.generation_config
    pad = own.pad_token_id if isinstance(own.pad_token_id, int) else ends[0] if ends else 0
    model.generation_config = GenerationConfig(
        max_new_tokens=length, do_sample=False, eos_token_id=ends or None, pad_token_id=pad
    )
    try:
        yield
    finally:
        model.generation_config = own


def _answer(new: list[int], ends: Sequence[int]) -> Answer:
    end = next((place for place, token in enumerate(new) if token in ends), None)
    return Answer(tuple(new[:end]), end is not None)
