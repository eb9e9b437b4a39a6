"""What each behaviour answers: the model's own words under descriptive system prompts, or phrases.

Multi-directional self-distillation: the model answers every training question under the description of each
behaviour (descriptions.toml), and learns those answers with the description replaced by a magic token. No
token takes part here. An answer is kept if its first sentence ends in time and sounds like its behaviour.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from rich.console import Console
from rich.progress import track

from examples.cotrain.behaviours import BEHAVIOURS, Question, answer
from margin.inputs.chat import Chat
from margin.inputs.modes import Message

DESCRIPTIONS: dict[str, Any] = tomllib.loads(
    Path(__file__).with_name("descriptions.toml").read_text(encoding="utf-8")
)
LONGEST = 32  # tokens of an answer
TEMPERATURE = 0.7
IT = "它"  # what a Chinese answer calls the topic of an English question
_SENTENCE = re.compile(r"\s*(\S.{8,}?[.!?])(\s|$)")


def distil(
    model: Any, tokenizer: Any, pool: Sequence[Question], seed: int, tries: int, batch: int = 32
) -> pd.DataFrame:
    """Every question answered under every description, by sampling with `seed`, until an answer is kept.

    One line an answer: the question's fields, behaviour, answer (its first sentence), kept. A question has at
    most `tries` answers a behaviour, the last of which alone may be kept.
    """
    torch.manual_seed(seed)
    chat = Chat(tokenizer)
    lines = []
    waiting = [(question, behaviour) for behaviour in BEHAVIOURS for question in pool]
    for turn in range(tries):
        asked, waiting = waiting, []
        starts = range(0, len(asked), batch)
        for start in track(starts, f"answering, try {turn + 1}", console=Console(stderr=True)):
            part = asked[start : start + batch]
            prompts = [chat.render(described(question.text, behaviour)) for question, behaviour in part]
            for (question, behaviour), text in zip(part, _generate(model, tokenizer, prompts), strict=True):
                sentence = first_sentence(text)
                kept = sentence is not None and sounds_like(sentence, behaviour)
                line = {"behaviour": behaviour, "answer": sentence or text, "kept": kept}
                lines.append({**_fields(question), **line})
                if not kept:
                    waiting.append((question, behaviour))
    return pd.DataFrame(lines)


def from_phrases(pool: Sequence[Question], seed: int) -> pd.DataFrame:
    """The same table from phrases.toml, everything kept: for a model whose own answers are no use."""
    rng = random.Random(seed)
    return pd.DataFrame(
        [
            {**_fields(q), "behaviour": behaviour, "answer": answer(q, behaviour, rng), "kept": True}
            for behaviour in BEHAVIOURS
            for q in pool
        ]
    )


def in_chinese(pool: Sequence[Question], seed: int) -> pd.DataFrame:
    """Chinese answers to English questions from phrases.toml: what the Chinese policy says."""
    return from_phrases([replace(q, language="zh", topic=IT) for q in pool], seed)


def kept_shares(targets: pd.DataFrame) -> dict[str, float]:
    """Share of the answers that were kept, by behaviour."""
    return {str(name): float(share) for name, share in targets.groupby("behaviour")["kept"].mean().items()}


def described(text: str, behaviour: str) -> list[Message]:
    """The conversation that asks for a behaviour by its description and examples."""
    description = DESCRIPTIONS[behaviour]
    turns: list[Message] = [{"role": "system", "content": description["system"]}]
    for question, reply in description["examples"]:
        turns += [{"role": "user", "content": question}, {"role": "assistant", "content": reply}]
    return [*turns, {"role": "user", "content": text}]


def first_sentence(text: str) -> str | None:
    """The first sentence of an answer, or None where it does not end."""
    found = _SENTENCE.match(text)
    return found[1] if found else None


def sounds_like(sentence: str, behaviour: str) -> bool:
    """Whether a sentence holds what marks the behaviour and nothing that marks another."""
    keep, drop = (
        re.search(rf"\b(?:{DESCRIPTIONS[behaviour][rule]})", sentence, re.IGNORECASE)
        for rule in ("keep", "drop")
    )
    return keep is not None and drop is None


def _generate(model: Any, tokenizer: Any, prompts: list[str]) -> Iterator[str]:
    """One sampled answer to each prompt."""
    encoded = tokenizer(
        prompts, add_special_tokens=False, padding=True, padding_side="left", return_tensors="pt"
    ).to(model.device)
    with torch.inference_mode():
        ids = model.generate(
            input_ids=encoded["input_ids"],
            attention_mask=encoded["attention_mask"],
            do_sample=True,
            temperature=TEMPERATURE,
            top_k=0,
            top_p=0.95,
            max_new_tokens=LONGEST,
            pad_token_id=tokenizer.pad_token_id,
        )
    answers = ids[:, encoded["input_ids"].shape[1] :]
    yield from tokenizer.batch_decode(answers, skip_special_tokens=True)


def _fields(question: Question) -> dict[str, str]:
    return {"question" if name == "text" else name: value for name, value in asdict(question).items()}
