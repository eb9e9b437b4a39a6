"""How fast and how lean collecting is, against a plain padded loop over the same rows, and that it is right.

python tests/benchmarks/collect.py MODEL PROMPTS [--limit N] [--repeats 5] [--layers last] [--batch-tokens N]

The plain loop takes rows as they come, in padded batches of 32 with `output_hidden_states=True`. Both run in
one process, by turns; the ratio is of medians. Peak memory is of a process of its own for each. `--check`
runs every row by itself through the plain forward pass too, and prints the largest relative difference of
state and logits.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from margin.capture.checkpoint import Checkpoint, load_checkpoint
from margin.capture.collect import collect
from margin.capture.head import load_head
from margin.inputs.chat import Chat
from margin.inputs.modes import Mode, ModeSet, Secret
from margin.inputs.prompts import PromptSet, load_prompts
from margin.inputs.rows import build_rows

BATCH = 32
TOKENS = {"pos": "kq7xpz2w", "neg": "vm4rty9b", "rej": "bn8sld3h"}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("prompts")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--layers", default="last")
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--only", choices=["none", "plain", "margin"], help=argparse.SUPPRESS)
    options = parser.parse_args()

    checkpoint = load_checkpoint(options.model)
    prompts = load_prompts(options.prompts)
    prompts = prompts if options.limit is None else prompts.limit(options.limit)
    modes = ModeSet(tuple(Mode(name, Secret(token), safe=name != "neg") for name, token in TOKENS.items()))
    rows = [row.ids for row in build_rows(Chat(checkpoint.tokenizer), prompts, modes)]

    def plain() -> None:
        plain_loop(checkpoint, rows)

    def with_margin() -> None:
        with tempfile.TemporaryDirectory() as folder:
            collect(
                checkpoint,
                prompts=prompts,
                modes=modes,
                out=Path(folder) / "run",
                layers=options.layers,
                batch_tokens=options.batch_tokens,
                quiet=True,
            )

    if options.only is not None:
        {"none": lambda: None, "plain": plain, "margin": with_margin}[options.only]()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    console = Console(highlight=False)
    compare_speed(console, checkpoint, prompts, modes, rows, options)
    compare_memory(console)
    if options.check:
        compare_numbers(console, checkpoint, prompts, modes, rows, options)


def plain_loop(checkpoint: Checkpoint, rows: list[list[int]]) -> None:
    """Batches as they come, all hidden states asked for, last real position of the last layer kept."""
    kept = []
    with torch.inference_mode():
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            tokens = torch.zeros(len(batch), max(map(len, batch)), dtype=torch.long)
            mask = torch.zeros_like(tokens)
            for line, real, ids in zip(tokens, mask, batch, strict=True):
                line[: len(ids)], real[: len(ids)] = torch.tensor(ids), 1
            output = checkpoint.model(
                tokens.to(checkpoint.model.device),
                attention_mask=mask.to(checkpoint.model.device),
                output_hidden_states=True,
            )
            last = (torch.arange(len(batch)), (mask.sum(dim=1) - 1))
            kept.append((output.hidden_states[-1][last].cpu(), output.logits[last].cpu()))


def compare_speed(
    console: Console,
    checkpoint: Checkpoint,
    prompts: PromptSet,
    modes: ModeSet,
    rows: list[list[int]],
    options: argparse.Namespace,
) -> None:
    """Rows a second of both, and their ratio."""
    plain_loop(checkpoint, rows[:BATCH])
    plain, loop, whole = [], [], []
    for turn in range(options.repeats):
        started = time.perf_counter()
        plain_loop(checkpoint, rows)
        plain.append(len(rows) / (time.perf_counter() - started))
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            run = collect(
                checkpoint,
                prompts=prompts,
                modes=modes,
                out=Path(folder) / "run",
                layers=options.layers,
                batch_tokens=options.batch_tokens,
                quiet=True,
            )
            whole.append(len(rows) / (time.perf_counter() - started))
            throughput = run.manifest.throughput
        loop.append(throughput["rows_per_s"])
        console.print(f"turn {turn + 1}: plain {plain[-1]:.1f}, margin {loop[-1]:.1f} rows/s")
    base, fast, all_in = (statistics.median(rates) for rates in (plain, loop, whole))
    tokens = sum(map(len, rows))
    console.print(f"{len(rows)} rows, {tokens} tokens, {throughput['tokens']} of them run")
    console.print(f"padding {throughput['padding_share']:.1%}")
    console.print(f"plain loop        {base:8.1f} rows/s")
    console.print(f"margin, the loop  {fast:8.1f} rows/s   x {fast / base:.2f}")
    console.print(
        f"margin, all of it {all_in:8.1f} rows/s   x {all_in / base:.2f}  (with checks and head pass)"
    )


def compare_memory(console: Console) -> None:
    """Peak resident memory of a process that does one of the two, above one that only loads the model."""
    peaks = {}
    for only in ("none", "plain", "margin"):
        command = [sys.executable, *sys.argv, "--only", only]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks[only] = float(done.stdout.split()[-1])
    for only in ("plain", "margin"):
        extra = peaks[only] - peaks["none"]
        console.print(f"peak memory, {only:<6} {peaks[only]:8.0f} MiB, {extra:.0f} above loading the model")


def compare_numbers(
    console: Console,
    checkpoint: Checkpoint,
    prompts: PromptSet,
    modes: ModeSet,
    rows: list[list[int]],
    options: argparse.Namespace,
) -> None:
    """Largest relative difference of a row from its plain forward pass alone, for three budgets."""
    states, logits = [], []
    with torch.inference_mode():
        for ids in rows:
            tokens = torch.tensor([ids], device=checkpoint.model.device)
            states.append(checkpoint.model.base_model(tokens).last_hidden_state[0, -1])
            logits.append(checkpoint.model(tokens).logits[0, -1])
    expected = [torch.stack(values).float().cpu().numpy() for values in (states, logits)]
    for budget in (64, 512, 8192):
        with tempfile.TemporaryDirectory() as folder:
            run = collect(
                checkpoint,
                prompts=prompts,
                modes=modes,
                out=Path(folder) / "run",
                batch_tokens=budget,
                quiet=True,
            )
            found = [run.states(), run.logits(load_head(checkpoint))]
        errors = [
            np.max(np.linalg.norm(one - other, axis=1) / np.linalg.norm(other, axis=1))
            for one, other in zip(found, expected, strict=True)
        ]
        console.print(f"budget {budget}: state off by {errors[0]:.1e}, logits by {errors[1]:.1e}")


if __name__ == "__main__":
    main()
