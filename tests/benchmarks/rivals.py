"""Collecting against two interpretability libraries that keep the same: the final state and its logits.

pip install nnsight==0.8.1 transformer-lens==4.3.0
python -m tests.benchmarks.rivals MODEL PROMPTS [--limit N] [--repeats 5] [--batch-tokens 2048]

MODEL is a Llama-like folder or GGUF file. TransformerLens runs with its cache restricted to the final norm at
the last position; nnsight saves the norm's output there and is told to make logits of that position only.
Both get rows sorted by length in batches of 32, padded on the left, with a mask. By turns, in one process;
ratios are of medians. How far each one's states are from ours is printed too.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnsight.modeling.transformers import TransformersModel
from numpy.typing import NDArray
from rich.console import Console
from transformer_lens.model_bridge import TransformerBridge

from margin.capture.checkpoint import Checkpoint, load_checkpoint
from margin.capture.collect import collect
from margin.inputs.chat import Chat
from margin.inputs.prompts import load_prompts
from margin.inputs.rows import build_rows
from tests.benchmarks.collect import BATCH, benchmark_modes
from tests.throughput import throughput

States = NDArray[np.float32]
Way = Callable[[list[list[int]]], States]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("prompts")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch-tokens", type=int, default=2048)
    options = parser.parse_args()

    checkpoint = load_checkpoint(options.model)
    prompts, modes = load_prompts(options.prompts), benchmark_modes()
    prompts = prompts if options.limit is None else prompts.limit(options.limit)
    rows = [row.ids for row in build_rows(Chat(checkpoint.tokenizer), prompts, modes)]
    rates: dict[str, list[float]] = {"margin, the loop": [], "margin, all of it": []}
    rivals: dict[str, Way] = {"nnsight": nnsight_way(checkpoint), "TransformerLens": lens_way(checkpoint)}
    found: dict[str, States] = {}
    for _ in range(options.repeats):
        for name, way in rivals.items():
            started = time.perf_counter()
            found[name] = way(rows)
            rates.setdefault(name, []).append(len(rows) / (time.perf_counter() - started))
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            run = collect(
                checkpoint,
                prompts=prompts,
                modes=modes,
                out=Path(folder) / "run",
                batch_tokens=options.batch_tokens,
                decoys=0,
                quiet=True,
            )
            rates["margin, all of it"].append(len(rows) / (time.perf_counter() - started))
            rates["margin, the loop"].append(throughput(run.manifest).rows_per_s)
            ours = run.states()
    console = Console(highlight=False)
    medians = {name: statistics.median(several) for name, several in rates.items()}
    for name, rate in medians.items():
        ratios = ", ".join(f"x {rate / medians[rival]:.2f} {rival}" for rival in rivals)
        console.print(f"{name:<18}{rate:8.1f} rows/s   {ratios}")
    for name, states in found.items():
        error = np.linalg.norm(states - ours, axis=1) / np.linalg.norm(ours, axis=1)
        console.print(f"{name}: states differ from ours by {error.max():.1e} at most")


def batches(rows: list[list[int]]) -> Iterator[tuple[list[int], torch.Tensor, torch.Tensor]]:
    """Places, ids and mask of rows, longest first, in batches padded on the left."""
    order = sorted(range(len(rows)), key=lambda row: -len(rows[row]))
    for start in range(0, len(order), BATCH):
        places = order[start : start + BATCH]
        ids = torch.zeros(len(places), len(rows[places[0]]), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for line, real, place in zip(ids, mask, places, strict=True):
            line[-len(rows[place]) :], real[-len(rows[place]) :] = torch.tensor(rows[place]), 1
        yield places, ids, mask


def all_rows(rows: list[list[int]], run: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> States:
    """(N, d) what `run` makes of each batch's ids and mask, in the order of the rows."""
    kept: list[Any] = [None] * len(rows)
    with torch.inference_mode():
        for places, ids, mask in batches(rows):
            for place, state in zip(places, run(ids, mask), strict=True):
                kept[place] = state.float().numpy()
    return np.stack(kept)


def nnsight_way(checkpoint: Checkpoint) -> Way:
    """The model itself, wrapped; the norm's output and the logits saved in a trace."""
    wrapped: Any = TransformersModel(checkpoint.model, tokenizer=checkpoint.tokenizer, task="text-generation")

    def run(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        with wrapped.trace({"input_ids": ids, "attention_mask": mask}, logits_to_keep=1):
            state: torch.Tensor = wrapped.model.norm.output[:, -1].save()
            wrapped.lm_head.output[:, -1].save()
        return state

    return lambda rows: all_rows(rows, run)


def lens_way(checkpoint: Checkpoint) -> Way:
    """A second copy of the model in the library's form; its cache holds the final norm only."""
    lens: Any = TransformerBridge.boot_transformers(
        checkpoint.name,
        hf_model=copy.deepcopy(checkpoint.model),
        tokenizer=checkpoint.tokenizer,
        device="cpu",
    )
    kept = "ln_final.hook_out"

    def run(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        _, cache = lens.run_with_cache(ids, attention_mask=mask, names_filter=kept, pos_slice=-1)
        state: torch.Tensor = cache[kept].reshape(len(ids), -1)
        return state

    return lambda rows: all_rows(rows, run)


if __name__ == "__main__":
    main()
