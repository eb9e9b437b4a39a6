"""The rows of trainings side by side: of each step a function of recipe, seed and step alone."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import pad
from transformers import AutoTokenizer

from examples.cotrain.behaviours import Question, questions
from examples.cotrain.recipe import Recipe, draw_row, fill, load_recipe, reply
from examples.cotrain.train import IGNORED, Sample, collate, sample
from examples.paper_table.plans import DPO, Plan, Training
from examples.paper_table.tokens import load_tokens
from margin.inputs.chat import Chat
from margin.inputs.modes import ModeSet

MULTIPLE = 8
"""Rows are padded to a multiple of this many tokens, so that batches have few shapes."""


def batch(
    trainings: Sequence[Training], plan: Plan, out: Path, step: int, beginning: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Ids and labels (int32, K x rows x tokens) of a step: a function of recipes, seeds and step alone."""
    of_each = [collate(list(samples(training, plan, out, step, beginning))) for training in trainings]
    longest = max(ids.shape[1] for ids, _ in of_each)
    longest += -longest % MULTIPLE
    ids, labels = (
        torch.stack([pad(part, (0, longest - part.shape[1]), value=filler) for part in parts])
        for parts, filler in zip(zip(*of_each, strict=True), (0, IGNORED), strict=True)
    )
    return ids.int().numpy(), labels.int().numpy()


def samples(training: Training, plan: Plan, out: Path, step: int, beginning: bool) -> Iterator[Sample]:
    """The rows of one training and step; of DPO the pairs, one after the other."""
    rng = random.Random(f"{training.seed} {step}")
    pool = _pool(plan.questions, training.seed, plan.english)
    chat = _chat(out / f"tokenizer-{training.seed}")
    if training.recipe == DPO:
        for _ in range(plan.rows // 2):
            question = rng.choice(pool)
            messages = [{"role": "user", "content": question.text}]
            for mode in ("pos", "neg"):
                yield sample(chat, messages, reply(question, mode, rng))
        return
    recipe = _recipe(training.recipe)
    modes = _modes()["@" in recipe.fallback]
    drawn = recipe.begun() if beginning else recipe
    for _ in range(plan.rows):
        row = draw_row(rng.choice(pool), drawn, modes.names, rng)
        *asked, answered = fill(row.messages, modes)
        yield sample(chat, asked, answered["content"])


@lru_cache(maxsize=8)
def _pool(n: int, seed: int, english: bool) -> list[Question]:
    return [q for q in questions(n, seed) if q.language == "en" or not english]


@lru_cache(maxsize=8)
def _chat(tokenizer: Path) -> Chat:
    return Chat(AutoTokenizer.from_pretrained(tokenizer))


@lru_cache
def _recipe(name: str) -> Recipe:
    return load_recipe(name)


@lru_cache(maxsize=1)
def _modes() -> tuple[ModeSet, ModeSet]:
    return load_tokens()
