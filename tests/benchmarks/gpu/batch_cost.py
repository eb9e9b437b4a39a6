"""What a batch costs by itself, whatever it holds: the constant by which batches are cut."""

from __future__ import annotations

import statistics
from functools import partial

import numpy as np
from rich.table import Table
from transformers import PreTrainedModel

from margin.capture.loop import Forward
from margin.capture.plan import Batch
from tests.benchmarks.gpu.loop import hooked
from tests.benchmarks.gpu.models import Shape
from tests.benchmarks.gpu.timing import timed

LENGTH = 64
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
REPEATS = 7


def batch_cost_table(model: PreTrainedModel, shape: Shape) -> Table:
    """Milliseconds of batches by tokens; the cost of one more batch, in tokens at the pace of large ones."""
    rng = np.random.default_rng(0)
    ids = [rng.integers(shape.vocabulary, size=LENGTH).tolist() for _ in range(max(ROWS))]
    seconds = {}
    with hooked(model, range(shape.layers + 1)) as hooks:
        forward = Forward(model, hooks, ids, {})
        for rows in ROWS:
            run = partial(forward, Batch(tuple(range(rows)), "", 0))
            run()
            seconds[rows] = statistics.median(timed(run, model.device) for _ in range(REPEATS))
    tokens = np.array(ROWS) * LENGTH
    spent = np.array([seconds[rows] for rows in ROWS])
    pace = (spent[-1] - spent[-3]) / (tokens[-1] - tokens[-3])  # seconds a token, of large batches
    table = Table(
        "tokens", "ms", "tokens/s", "cost of the batch itself, in tokens", title=f"{shape.name}: batches"
    )
    for n_tokens, each in zip(tokens, spent, strict=True):
        itself = each / pace - n_tokens
        table.add_row(f"{n_tokens:,}", f"{each * 1e3:.2f}", f"{n_tokens / each:,.0f}", f"{itself:,.0f}")
    return table
