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
    model: Any, tokenizer: Any, pool: Sequence[Question], seed: int, draws: int, batch: int = 32
) -> pd.DataFrame:
    """Every question answered under every description, `draws` times, by sampling with `seed`.

    One line an answer: the question's fields, behaviour, answer (its first sentence), kept.
    """
    torch.manual_seed(seed)
    chat = Chat(tokenizer)
    asked = [(question, behaviour) for behaviour in BEHAVIOURS for question in pool]
    lines = []
    for start in track(range(0, len(asked), batch), "answering", console=Console(stderr=True)):
        part = asked[start : start + batch]
        prompts = [chat.render(described(question.text, behaviour)) for question, behaviour in part]
        for i, text in enumerate(_generate(model, tokenizer, prompts, draws)):
            question, behaviour = part[i // draws]
            sentence = first_sentence(text)
            kept = sentence is not None and sounds_like(sentence, behaviour)
            lines.append(
                {**_fields(question), "behaviour": behaviour, "answer": sentence or text, "kept": kept}
            )
    return pd.DataFrame(lines)


def from_phrases(pool: Sequence[Question], seed: int, draws: int) -> pd.DataFrame:
    """The same table from phrases.toml, everything kept: for a model whose own answers are no use."""
    rng = random.Random(seed)
    return pd.DataFrame(
        [
            {**_fields(q), "behaviour": behaviour, "answer": answer(q, behaviour, rng), "kept": True}
            for behaviour in BEHAVIOURS
            for q in pool
            for _ in range(draws)
        ]
    )


def in_chinese(pool: Sequence[Question], seed: int, draws: int) -> pd.DataFrame:
    """Chinese answers to English questions from phrases.toml: what the Chinese policy says."""
    return from_phrases([replace(q, language="zh", topic=IT) for q in pool], seed, draws)


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
    rule = DESCRIPTIONS[behaviour]
    marked = "keep" not in rule or re.search(rule["keep"], sentence, re.IGNORECASE) is not None
    return marked and re.search(rule["drop"], sentence, re.IGNORECASE) is None


def _generate(model: Any, tokenizer: Any, prompts: list[str], draws: int) -> Iterator[str]:
    """`draws` answers to each prompt, one prompt after the other."""
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
            num_return_sequences=draws,
            max_new_tokens=LONGEST,
            pad_token_id=tokenizer.pad_token_id,
        )
    answers = ids[:, encoded["input_ids"].shape[1] :]
    yield from tokenizer.batch_decode(answers, skip_special_tokens=True)


def _fields(question: Question) -> dict[str, str]:
    return {"question" if name == "text" else name: value for name, value in asdict(question).items()}
