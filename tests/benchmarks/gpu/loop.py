"""The capture loop against the bare forward pass."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
from rich.table import Table
from transformers import PreTrainedModel

from margin.capture.budget import Budget
from margin.capture.budget_search import find_budget
from margin.capture.hooks import HiddenStateHooks, hidden_state_hooks
from margin.capture.last_block import last_block_hook
from margin.capture.loop import Forward, capture
from margin.capture.placement import to_device
from margin.capture.plan import BATCH_COST_ON_ACCELERATOR, Plan, make_plan
from margin.capture.writer import Writer
from margin.inputs.options import CaptureOptions
from margin.run.shards import write_shard
from tests.benchmarks.gpu.models import Shape, random_rows
from tests.benchmarks.gpu.timing import by_turns


@contextmanager
def hooked(model: PreTrainedModel, layers: Sequence[int]) -> Iterator[HiddenStateHooks]:
    """The model as `margin collect` runs it."""
    with (
        torch.inference_mode(),
        hidden_state_hooks(model, layers) as hooks,
        last_block_hook(model, hooks),
    ):
        hooks.last_block_at_positions = True
        yield hooks


def loop_table(model: PreTrainedModel, shape: Shape, n_rows: int, repeats: int, peak: float) -> Table:
    """Rows/s, tokens/s, share of the matrix peak and memory of every way."""
    ids, groups = random_rows(n_rows, shape.vocabulary)
    everything = range(shape.layers + 1)
    with hooked(model, everything) as hooks:
        first = make_plan(ids, groups, budget=1, reuse_prefix=False)
        budget = find_budget(Forward(model, hooks, ids, {}), first.batches[0])
    plans = {
        reuse: make_plan(
            ids, groups, budget=budget.tokens, reuse_prefix=reuse, batch_cost=BATCH_COST_ON_ACCELERATOR
        )
        for reuse in (False, True)
    }
    ways: dict[str, tuple[Callable[[], None], Plan]] = {
        "bare forward pass": (partial(bare, model, plans[False], ids), plans[False])
    }
    for reuse, plan in plans.items():
        once = ", prefixes once" if reuse else ""
        for what, layers in (("last layer", [shape.layers]), ("all layers", everything)):
            way = partial(captured, model, layers, plan, ids, budget)
            ways[f"loop, {what}{once}"] = way, plan
    seconds, peaks = by_turns({name: way for name, (way, _) in ways.items()}, repeats, model.device)
    # A multiply and an add a weight and token; attention's own products are few at these lengths. The head
    # is run once a row and the embeddings are looked up.
    body = sum(weight.numel() for weight in model.get_decoder().layers.parameters())
    head = model.get_output_embeddings().weight.numel()
    plan = plans[False]
    table = Table(
        "",
        "s",
        "rows/s",
        "x bare",
        "tokens/s",
        "of the peak",
        "peak GiB",
        title=f"{shape.name}: {n_rows:,} rows, {plan.tokens:,} tokens ({plans[True].tokens:,} with prefixes "
        f"once), {sum(map(len, plan.batches))} batches of at most {budget.tokens:,}, "
        f"padding {plan.padding_share:.1%}",
    )
    for name, (_, of) in ways.items():
        work = 2 * (body * of.tokens + head * n_rows)
        table.add_row(
            name,
            f"{seconds[name]:.2f}",
            f"{n_rows / seconds[name]:,.0f}",
            f"{seconds['bare forward pass'] / seconds[name]:.3f}",
            f"{of.tokens / seconds[name]:,.0f}",
            f"{work / seconds[name] / peak:.1%}",
            f"{peaks.get(name, 0):.1f}",
        )
    return table


def bare(model: PreTrainedModel, plan: Plan, ids: Sequence[list[int]]) -> None:
    """The model's body on each batch, its head at the last positions, nothing kept."""
    with torch.inference_mode():
        for batch in (batch for shard in plan.batches for batch in shard):
            rows = [ids[row] for row in batch.rows]
            tokens = torch.zeros(len(rows), len(rows[0]), dtype=torch.long)
            for line, row in zip(tokens, rows, strict=True):
                line[: len(row)] = torch.tensor(row)
            last = to_device(torch.tensor([len(row) - 1 for row in rows]), model.device)
            states = model.base_model(to_device(tokens, model.device), use_cache=False).last_hidden_state
            model.get_output_embeddings()(states[torch.arange(len(rows), device=model.device), last])


def captured(
    model: PreTrainedModel, layers: Sequence[int], plan: Plan, ids: Sequence[list[int]], budget: Budget
) -> None:
    """The loop of `margin collect`, files written."""
    with hooked(model, layers) as hooks, tempfile.TemporaryDirectory() as folder, Writer() as writer:
        forward = Forward(model, hooks, ids, plan.prefixes)
        for index, batches in enumerate(plan.batches):
            shard = capture(forward, batches, budget, CaptureOptions(), lambda rows: None)
            writer.submit(lambda at=index, of=shard: write_shard(Path(folder) / str(at), of.arrays()))  # type: ignore[misc]
