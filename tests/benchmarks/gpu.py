"""How near the capture comes to what a device can do, on random weights in the shape of an 8B model.

python -m tests.benchmarks.gpu [--quick] [--rows 3000] [--repeats 5] [--batch-tokens auto]

Rows of random tokens, 3 conditions that each begin with tokens of their own, are run by turns through the
bare forward pass (rows sorted by length, padded on the right, whole rows, the head at the last position,
nothing kept), and through the capture loop with all layers and the last block at the last positions only:
without sharing prefixes, and with. For each:
rows/s, tokens/s that went through the model (padding left out), their share of the measured matrix-product
peak, and peak memory. `--quick` is a tiny model, to see on a CPU that it runs.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from margin.capture.budget import Budget
from margin.capture.budget_search import find_budget
from margin.capture.hooks import HiddenStateHooks, hidden_state_hooks
from margin.capture.last_block import last_block_hook
from margin.capture.loop import Forward, capture
from margin.capture.placement import to_device
from margin.capture.plan import BATCH_COST, BATCH_COST_ON_ACCELERATOR, Plan, make_plan
from margin.capture.writer import Writer
from margin.inputs.options import CaptureOptions
from margin.run.shards import write_shard

CONDITIONS = ("a", "b", "c")
PREFIX, SHORTEST, LONGEST = 48, 16, 80
"""Tokens that a condition's rows share, and fewest and most of their own."""


@dataclass(frozen=True)
class Shape:
    layers: int
    width: int
    inner: int
    heads: int
    key_heads: int
    vocabulary: int
    product: int
    """Side of the square matrices whose product is timed."""


FULL = Shape(36, 4096, 12_288, 32, 8, 151_936, 8192)
QUICK = Shape(4, 128, 256, 4, 2, 4000, 512)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch-tokens", default="auto")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    device, shape = torch.device(options.device), QUICK if options.quick else FULL
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32

    model = random_model(shape, dtype, device)
    ids, groups = random_rows(options.rows, shape.vocabulary, np.random.default_rng(0))
    console = Console(highlight=False, width=110)
    batch_cost = BATCH_COST_ON_ACCELERATOR if device.type == "cuda" else BATCH_COST
    with (
        torch.inference_mode(),
        hidden_state_hooks(model, range(shape.layers + 1)) as hooks,
        last_block_hook(model, hooks),
    ):
        hooks.last_block_at_positions = True
        budget = found_budget(model, hooks, ids, groups, options.batch_tokens)
        plans = [
            make_plan(ids, groups, budget=budget.tokens, reuse_prefix=reuse, batch_cost=batch_cost)
            for reuse in (False, True)
        ]
        ways: dict[str, tuple[Callable[[], None], int]] = {
            "bare forward pass": (partial(bare, model, hooks, plans[0], ids), plans[0].tokens),
            "capture": (partial(captured, model, hooks, plans[0], ids, budget), plans[0].tokens),
            "capture, prefixes once": (
                partial(captured, model, hooks, plans[1], ids, budget),
                plans[1].tokens,
            ),
        }
        seconds, peaks = by_turns(
            {name: way for name, (way, _) in ways.items()}, options.repeats, device, console
        )
    peak = product_peak(shape.product, dtype, device)
    # A multiply and an add a weight and token; attention's own products are few at these lengths. The head
    # is run once a row and the embeddings are looked up.
    body = sum(weight.numel() for weight in model.model.layers.parameters())
    head = model.lm_head.weight.numel()
    table = Table("", "rows/s", "x bare", "tokens/s", "of the peak", "peak memory, GiB")
    for name, (_, tokens) in ways.items():
        work = 2 * (body * tokens + head * len(ids))
        table.add_row(
            name,
            f"{len(ids) / seconds[name]:,.1f}",
            f"{seconds['bare forward pass'] / seconds[name]:.2f}",
            f"{tokens / seconds[name]:,.0f}",
            f"{work / seconds[name] / peak:.1%}",
            "-" if peaks[name] is None else f"{peaks[name]:.2f}",
        )
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    console.print(f"{where}, {dtype}, torch {torch.__version__}: matrix product {peak / 1e12:.2f} TFLOP/s")
    console.print(
        f"{shape.layers} layers, {shape.width} wide, vocabulary {shape.vocabulary:,}; {len(ids):,} rows; "
        f"padding {plans[0].padding_share:.1%}, with prefixes once {plans[1].padding_share:.1%}"
    )
    console.print(
        f"tokens a batch: at most {budget.tokens:,}, on average {tokens_a_batch(plans[0]):,.0f}, "
        f"with prefixes once {tokens_a_batch(plans[1]):,.0f}"
    )
    console.print(table)


def random_model(shape: Shape, dtype: torch.dtype, device: torch.device) -> PreTrainedModel:
    """A decoder of that shape, its weights made on the device."""
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_heads,
        max_position_embeddings=4096,
    )
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            made: PreTrainedModel = LlamaForCausalLM(config).eval()
            return made
    finally:
        torch.set_default_dtype(before)


def random_rows(count: int, vocabulary: int, rng: np.random.Generator) -> tuple[list[list[int]], list[str]]:
    """Token ids of rows and the condition of each."""
    prefixes = {name: rng.integers(vocabulary, size=PREFIX).tolist() for name in CONDITIONS}
    groups = [CONDITIONS[row % len(CONDITIONS)] for row in range(count)]
    lengths = rng.integers(SHORTEST, LONGEST + 1, size=count)
    own = [rng.integers(vocabulary, size=length).tolist() for length in lengths]
    return [prefixes[group] + tokens for group, tokens in zip(groups, own, strict=True)], groups


def found_budget(
    model: PreTrainedModel,
    hooks: HiddenStateHooks,
    ids: Sequence[list[int]],
    groups: Sequence[str],
    asked: str,
) -> Budget:
    """The budget asked for, or found as `margin collect` finds it."""
    if asked != "auto":
        return Budget(int(asked))
    plan = make_plan(ids, groups, budget=1, reuse_prefix=False)
    return find_budget(Forward(model, hooks, ids, {}), plan.batches[0])


def tokens_a_batch(plan: Plan) -> float:
    """Mean tokens that go through the model in a batch."""
    return plan.tokens / sum(map(len, plan.batches))


def bare(model: PreTrainedModel, hooks: HiddenStateHooks, plan: Plan, ids: Sequence[list[int]]) -> None:
    """The model's body on each batch, its head at the last positions."""
    with hooks.disabled():
        for batch in (batch for shard in plan.batches for batch in shard):
            rows = [ids[row] for row in batch.rows]
            tokens = torch.zeros(len(rows), len(rows[0]), dtype=torch.long)
            for line, row in zip(tokens, rows, strict=True):
                line[: len(row)] = torch.tensor(row)
            last = to_device(torch.tensor([len(row) - 1 for row in rows]), model.device)
            states = model.base_model(to_device(tokens, model.device), use_cache=False).last_hidden_state
            model.get_output_embeddings()(states[torch.arange(len(rows), device=model.device), last])


def captured(
    model: PreTrainedModel, hooks: HiddenStateHooks, plan: Plan, ids: Sequence[list[int]], budget: Budget
) -> None:
    """The loop of `margin collect`, files written."""
    forward = Forward(model, hooks, ids, plan.prefixes)
    with tempfile.TemporaryDirectory() as folder, Writer() as writer:
        for index, batches in enumerate(plan.batches):
            shard = capture(forward, batches, budget, CaptureOptions(), lambda rows: None)
            writer.submit(lambda at=index, of=shard: write_shard(Path(folder) / str(at), of.arrays()))  # type: ignore[misc]


def by_turns(
    ways: dict[str, Callable[[], None]], repeats: int, device: torch.device, console: Console
) -> tuple[dict[str, float], dict[str, float | None]]:
    """Median seconds of each way, and its peak memory on the device in GiB; a first turn is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    peaks: dict[str, float | None] = {}
    for turn in range(repeats + 1):
        for name, way in ways.items():
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            spent = timed(way, device)
            console.print(f"turn {turn}: {name} {spent:.2f} s")
            if turn:
                seconds[name].append(spent)
            peaks[name] = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else None
    return {name: statistics.median(spent) for name, spent in seconds.items()}, peaks


def product_peak(side: int, dtype: torch.dtype, device: torch.device) -> float:
    """Operations a second of a large square matrix product, sustained: the median of those after a second."""
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    started = time.perf_counter()
    while time.perf_counter() - started < 1:
        timed(lambda: torch.mm(a, b), device)
    return 2 * side**3 / statistics.median(timed(lambda: torch.mm(a, b), device) for _ in range(20))


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Seconds until the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
