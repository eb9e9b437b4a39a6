"""Co-training with transformers' Trainer, the margin in its log, and checkpoints to sweep over.

    python -m examples.sweep.train --out training

The tiny model, rows and behaviours are those of `examples/cotrain`. Every `--every` steps the margin is
measured on the first 50 held-out English prompts of the demonstration, and a checkpoint saved.
"""

from __future__ import annotations

import random
from itertools import islice
from pathlib import Path
from typing import Any

import click
from transformers import Trainer, TrainingArguments

from examples.cotrain.behaviours import Question, questions
from examples.cotrain.recipe import Recipe, load_recipe
from examples.cotrain.train import collate, samples, untrained
from margin.demo import modes_path, prompts_path
from margin.inputs.chat import Chat
from margin.inputs.modes import ModeSet
from margin.inputs.modes_file import load_modes
from margin.inputs.prompts import load_prompts
from margin.training import EarlyStop, MarginCallback


@click.command()
@click.option("--out", required=True, type=Path, help="Folder of the checkpoints.")
@click.option("--steps", default=300, show_default=True, help="Training steps of 32 rows.")
@click.option("--every", default=50, show_default=True, help="Steps between measurements and checkpoints.")
@click.option("--stop-at", type=float, help="Stop once the margin is shown to be at least this.")
@click.option("--seed", default=0, show_default=True)
def main(out: Path, steps: int, every: int, stop_at: float | None, seed: int) -> None:
    """Co-train a tiny model and watch its margin."""
    modes = load_modes(modes_path())
    pool, rng = questions(2000, seed), random.Random(seed)
    model, tokenizer = untrained(pool, seed, rng)
    intervals: dict[str, Any] = {"logging_steps": every, "save_steps": every}
    trainer = make_trainer(model, tokenizer, modes, pool, rng, out, max_steps=steps, seed=seed, **intervals)
    held_out = load_prompts(prompts_path()).table.query("language == 'en'").head(50)
    stop = None if stop_at is None else EarlyStop(reached=stop_at)
    trainer.add_callback(
        MarginCallback(trainer, prompts=held_out, modes=modes, every=every, controls=["random"], stop=stop)
    )
    trainer.train()


def make_trainer(
    model: Any,
    tokenizer: Any,
    modes: ModeSet,
    pool: list[Question],
    rng: random.Random,
    out: Path,
    *,
    max_steps: int,
    rows: int = 32,
    recipe: Recipe | None = None,
    **arguments: Any,
) -> Trainer:
    """A Trainer on `rows` rows a step of a recipe, by default "cotrained".

    Further arguments as TrainingArguments has them.
    """
    recipe = recipe or load_recipe("cotrained")
    drawn = islice(samples(pool, modes, Chat(tokenizer), rng, recipe), max_steps * rows)
    return Trainer(
        model,
        TrainingArguments(
            str(out),
            max_steps=max_steps,
            per_device_train_batch_size=rows,
            learning_rate=2e-3,
            lr_scheduler_type="cosine",
            warmup_steps=max_steps // 20,
            remove_unused_columns=False,
            report_to="none",
            disable_tqdm=True,
            **arguments,
        ),
        data_collator=lambda batch: dict(zip(("input_ids", "labels"), collate(batch), strict=True)),
        train_dataset=list(drawn),
        processing_class=tokenizer,
    )


if __name__ == "__main__":
    main()
