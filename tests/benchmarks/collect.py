"""How fast and how lean collecting is, against two loops over the same rows, and that it is right.

python -m tests.benchmarks.collect MODEL PROMPTS [--limit N] [--repeats 5] [--layers last] [--batch-tokens N]

The plain loop takes rows as they come, in padded batches of 32 with `output_hidden_states=True`. The bare
forward pass is the best of the usual: rows sorted by length, padded on the right in batches of 32, the head
at the last position only, nothing captured. Collecting other layers than the last is held against collecting
the last as well. All run in one process, by turns; ratios are of medians. Peak memory is of a process of its
own for each, above what the loaded model holds. `--check` runs every row by itself through the plain forward
pass too, and prints the largest relative difference of state and logits, and how far plain SAM is from
scikit-learn's on these logits.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from sklearn.metrics import silhouette_score

from margin.analysis.sam import sam
from margin.capture.checkpoint import Checkpoint, load_checkpoint
from margin.capture.collect import collect
from margin.capture.head import load_head
from margin.inputs.chat import Chat
from margin.inputs.modes import Mode, ModeSet, Secret
from margin.inputs.prompts import PromptSet, load_prompts
from margin.inputs.rows import build_rows
from margin.run.run import Run
from margin.study.spaces import space_of
from tests.benchmarks.memory import MIB, peak_over_start
from tests.throughput import throughput

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
    parser.add_argument("--only", choices=["plain", "margin"], help=argparse.SUPPRESS)
    options = parser.parse_args()

    checkpoint = load_checkpoint(options.model)
    prompts = load_prompts(options.prompts)
    prompts = prompts if options.limit is None else prompts.limit(options.limit)
    modes = benchmark_modes()
    rows = [row.ids for row in build_rows(Chat(checkpoint.tokenizer), prompts, modes)]

    def plain() -> None:
        plain_loop(checkpoint, rows)

    def with_margin() -> None:
        with collected(checkpoint, prompts, modes, options.layers, options.batch_tokens):
            pass

    if options.only is not None:
        print(peak_over_start({"plain": plain, "margin": with_margin}[options.only]) / MIB)
        return
    console = Console(highlight=False)
    compare_speed(console, checkpoint, prompts, modes, rows, options)
    compare_memory(console)
    if options.check:
        compare_numbers(console, checkpoint, prompts, modes, rows, options)


def benchmark_modes() -> ModeSet:
    """Three modes under tokens the model has never seen."""
    return ModeSet(tuple(Mode(name, Secret(token), safe=name != "neg") for name, token in TOKENS.items()))


@contextmanager
def collected(
    checkpoint: Checkpoint, prompts: PromptSet, modes: ModeSet, layers: str, batch_tokens: int
) -> Iterator[Run]:
    """A run, collected anew, gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        yield collect(
            checkpoint,
            prompts=prompts,
            modes=modes,
            out=Path(folder) / "run",
            layers=layers,
            batch_tokens=batch_tokens,
            decoys=0,
            quiet=True,
        )


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


def bare_forward(checkpoint: Checkpoint, rows: list[list[int]]) -> None:
    """Sorted by length, padded on the right, the head at the last real position only."""
    model = checkpoint.model
    ordered = sorted(rows, key=len, reverse=True)
    with torch.inference_mode():
        for start in range(0, len(ordered), BATCH):
            batch = ordered[start : start + BATCH]
            tokens = torch.zeros(len(batch), len(batch[0]), dtype=torch.long)
            for line, ids in zip(tokens, batch, strict=True):
                line[: len(ids)] = torch.tensor(ids)
            states = model.base_model(tokens.to(model.device), use_cache=False).last_hidden_state
            last = torch.tensor([len(ids) - 1 for ids in batch])
            model.get_output_embeddings()(states[torch.arange(len(batch)), last]).cpu()


def compare_speed(
    console: Console,
    checkpoint: Checkpoint,
    prompts: PromptSet,
    modes: ModeSet,
    rows: list[list[int]],
    options: argparse.Namespace,
) -> None:
    """Rows a second of all three, and their ratios."""
    plain_loop(checkpoint, rows[:BATCH])
    ways = dict.fromkeys(["last", options.layers])
    rates: dict[str, list[float]] = {"plain loop": [], "bare forward": []}
    for layers in ways:
        rates |= {f"margin, loop, {layers}": [], f"margin, all of it, {layers}": []}
    for turn in range(options.repeats):
        for name, way in (("plain loop", plain_loop), ("bare forward", bare_forward)):
            started = time.perf_counter()
            way(checkpoint, rows)
            rates[name].append(len(rows) / (time.perf_counter() - started))
        for layers in ways:
            started = time.perf_counter()
            with collected(checkpoint, prompts, modes, layers, options.batch_tokens) as run:
                rates[f"margin, all of it, {layers}"].append(len(rows) / (time.perf_counter() - started))
            speed = throughput(run.manifest)
            rates[f"margin, loop, {layers}"].append(speed.rows_per_s)
        latest = ", ".join(f"{name} {values[-1]:.1f}" for name, values in rates.items())
        console.print(f"turn {turn + 1}: {latest} rows/s")
    medians = {name: statistics.median(values) for name, values in rates.items()}
    tokens = sum(map(len, rows))
    console.print(f"{len(rows)} rows, {tokens} tokens, {speed.tokens} of them run")
    console.print(f"padding {speed.padding_share:.1%}")
    for name, rate in medians.items():
        ratios = f"x {rate / medians['plain loop']:.2f} plain, x {rate / medians['bare forward']:.2f} bare"
        console.print(f"{name:<24}{rate:8.1f} rows/s   {ratios}")
    console.print("(all of it: with the preflight, the probes before the loop and the head pass after it)")


def compare_memory(console: Console) -> None:
    """Peak resident memory of each, in a process of its own, above what the loaded model holds."""
    for only in ("plain", "margin"):
        command = [sys.executable, *sys.argv, "--only", only]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        console.print(
            f"peak memory, {only:<6} {float(done.stdout.split()[-1]):8.0f} MiB above the loaded model"
        )


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
        with collected(checkpoint, prompts, modes, "last", budget) as run:
            points, lines = space_of(run, "logits")[0], run.rows
            found = [run.states(), run.logits(load_head(checkpoint))]
        errors = [
            np.max(np.linalg.norm(one - other, axis=1) / np.linalg.norm(other, axis=1))
            for one, other in zip(found, expected, strict=True)
        ]
        console.print(f"budget {budget}: state off by {errors[0]:.1e}, logits by {errors[1]:.1e}")
        labels, ids = lines["condition"].to_numpy(), lines["prompt_id"].to_numpy()
        for distance in ("cosine", "euclidean"):
            ours = sam(points, labels, ids, distance, variant="plain").estimate
            theirs = silhouette_score(expected[1].astype(np.float64), labels, metric=distance)
            console.print(
                f"  plain {distance} SAM {ours:+.6f}, off scikit-learn's by {abs(ours - theirs):.1e}"
            )


if __name__ == "__main__":
    main()
