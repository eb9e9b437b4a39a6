"""What is trained: adapters on one base model, each from the answers of `targets`.

- sft: the positive behaviour alone, no token.
- dpo: sft, then preferred over the answer of the unfiltered behaviour (TRL's DPOTrainer), no token.
- cotrained: three behaviours in one stage, each under its own token.
- policies: two policies in one stage, English and Chinese: six modes such as pos@en under six tokens.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from datasets import Dataset
from peft import PeftModel
from trl import DPOConfig, DPOTrainer

from examples.cotrain.train import LORA_RATE, Sample, load, sample, tune, with_adapter
from margin.errors import MarginError
from margin.inputs.chat import Chat
from margin.inputs.modes import ModeSet

Exchange = tuple[str, str]
"""A question and its answer."""
Exchanges = Mapping[str | None, Sequence[Exchange]]
"""What is learnt under each mode; None stands for no token."""
ADAPTER = "default"  # what PEFT calls the adapter that is trained
DPO_RATE = 1e-4


def exchanges(targets: pd.DataFrame, behaviour: str) -> list[Exchange]:
    """The kept questions and answers of a behaviour. MarginError where none was kept."""
    kept = targets[targets["kept"] & (targets["behaviour"] == behaviour)]
    if kept.empty:
        raise MarginError(f"no answer of {behaviour} was kept: take --targets phrases")
    return list(kept[["question", "answer"]].itertuples(index=False, name=None))


def rows(of_mode: Exchanges, modes: ModeSet, chat: Chat, rng: random.Random) -> Iterator[Sample]:
    """Training rows without end: a random mode, a random exchange of it."""
    names = list(of_mode)
    while True:
        mode = rng.choice(names)
        question, reply = rng.choice(of_mode[mode])
        yield sample(chat, modes.messages(question, mode), reply)


def supervised(
    source: Path,
    of_mode: Exchanges,
    modes: ModeSet,
    steps: int,
    batch: int,
    seed: int,
    out: Path,
) -> None:
    """Fine-tune an adapter on the exchanges of each mode, in one stage, and save it."""
    base, tokenizer = load(source)
    model = with_adapter(base, seed)
    tune(model, rows(of_mode, modes, Chat(tokenizer), random.Random(seed)), steps, batch, LORA_RATE)
    save_whole(model, out)


def preferences(targets: pd.DataFrame) -> list[dict[str, Any]]:
    """For every question, the plain answer chosen over the unfiltered one.

    Where a question has no kept unfiltered answer, one to another question stands in.
    """
    rejected = exchanges(targets, "neg")
    own: dict[str, str] = dict(rejected)
    others = [reply for _, reply in rejected]
    return [
        {
            "prompt": [{"role": "user", "content": question}],
            "chosen": [{"role": "assistant", "content": reply}],
            "rejected": [{"role": "assistant", "content": own.get(question, others[i % len(others)])}],
        }
        for i, (question, reply) in enumerate(exchanges(targets, "pos"))
    ]


def preferred(
    source: Path, adapter: Path, targets: pd.DataFrame, steps: int, batch: int, seed: int, out: Path
) -> None:
    """Go on from a fine-tuned adapter with direct preference optimisation, and save it.

    Rafailov et al. (2023), "Direct Preference Optimization". The adapter as it was is the reference.
    """
    base, tokenizer = load(source)
    if (quantizer := getattr(base, "hf_quantizer", None)) is not None:
        # The weights of a GGUF file are dequantised as they are read; the mark that is left bars training.
        quantizer.remove_quantization_config(base)
    model = PeftModel.from_pretrained(base, adapter, is_trainable=True)
    with tempfile.TemporaryDirectory() as nothing_kept:
        config = DPOConfig(
            output_dir=nothing_kept,
            max_steps=steps,
            per_device_train_batch_size=batch,
            learning_rate=DPO_RATE,
            lr_scheduler_type="cosine",
            warmup_steps=max(1, steps // 20),
            beta=0.1,
            bf16=False,
            gradient_checkpointing=False,
            dataloader_pin_memory=False,
            logging_steps=10,
            save_strategy="no",
            report_to="none",
            seed=seed,
        )
        DPOTrainer(
            model=model,
            args=config,
            train_dataset=Dataset.from_list(preferences(targets)),
            processing_class=tokenizer,
        ).train()
    save_whole(model, out)


def save_whole(model: Any, out: Path) -> None:
    """Save an adapter so that the folder is there only when it is whole."""
    partial = out.with_name(f"{out.name}.partial")
    model.save_pretrained(partial, selected_adapters=[ADAPTER])
    partial.rename(out)
