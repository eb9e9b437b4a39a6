"""What the margin costs while training: one look at 50 prompts under three modes, against 100 training steps.

python -m tests.benchmarks.callback [MODEL] [--steps 100] [--rows 32] [--prompts 50]

Without MODEL the tiny Llama of the demonstration is trained whole; MODEL (folder, hub id or GGUF file) gets a
LoRA adapter of rank 16. The rows are those of `examples/cotrain`. Both are timed in one process, in one
Trainer: the steps by the median, the look by itself, with all that the callback does. With fewer than 100
steps the median is scaled to 100.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from peft import LoraConfig, get_peft_model
from rich.console import Console
from transformers import TrainerCallback

from examples.cotrain.behaviours import questions
from examples.sweep.train import make_trainer
from margin.capture.checkpoint import load_checkpoint
from margin.demo import checkpoint_path, modes_path, prompts_path
from margin.inputs.modes_file import load_modes
from margin.inputs.prompts import load_prompts
from margin.training import MarginCallback

BUDGET = 100
"""Training steps a look is set against."""


class Clock(TrainerCallback):
    """Seconds of every step, and from a step's end to when the callbacks before this one are done."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.after: list[float] = []
        self._began = self._ended = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock."""
        self._began = time.perf_counter()

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The weights are those after this step."""
        self._ended = time.perf_counter()
        self.steps.append(self._ended - self._began)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The callbacks before this one have measured."""
        self.after.append(time.perf_counter() - self._ended)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--steps", type=int, default=BUDGET)
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--prompts", type=int, default=50)
    options = parser.parse_args()

    checkpoint = load_checkpoint(options.model or checkpoint_path("cotrained"), dtype="float32")
    model: Any = checkpoint.model
    if options.model:
        model.is_quantized = (
            False  # the weights of a GGUF file are whole again, yet it keeps Trainer from them
        )
        model = get_peft_model(model, LoraConfig(r=16, target_modules="all-linear", task_type="CAUSAL_LM"))
    modes = load_modes(modes_path())
    pool = [question for question in questions(480, 0) if question.language == "en"]
    held_out = load_prompts(prompts_path()).table.query("language == 'en'").head(options.prompts)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(
            model,
            checkpoint.tokenizer,
            modes,
            pool,
            random.Random(0),
            Path(folder),
            max_steps=options.steps,
            rows=options.rows,
            save_strategy="no",
        )
        trainer.add_callback(MarginCallback(trainer, prompts=held_out, modes=modes, every=options.steps))
        trainer.add_callback(clock)
        trainer.train()
    step, look = statistics.median(clock.steps), clock.after[-1]
    console = Console(highlight=False)
    console.print(f"{checkpoint.name}: {options.steps} steps of {options.rows} rows, median {step:.3f} s")
    console.print(f"one look at {len(held_out)} prompts x {len(modes.names)} modes: {look:.2f} s")
    console.print(f"look / {BUDGET} steps: {look / (BUDGET * step):.2%}")


if __name__ == "__main__":
    main()
