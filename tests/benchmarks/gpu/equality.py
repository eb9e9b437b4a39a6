"""How far batches are from the plain pass of one row, and both from float64."""

from __future__ import annotations

import numpy as np
import torch
from rich.table import Table
from transformers import PreTrainedModel

from margin.capture.loop import Forward
from margin.capture.plan import Batch, make_plan
from margin.capture.repeats import state_error
from margin.capture.rounding import tolerance
from tests.benchmarks.gpu.loop import hooked
from tests.benchmarks.gpu.models import Shape, random_model, random_rows

N_ROWS, IN_FLOAT64 = 96, 12


def equality_table(shape: Shape, device: torch.device) -> Table:
    """Largest relative error of a final state in each dtype: batches against rows alone, both against
    float64 of the same weights.
    """
    ids, groups = random_rows(N_ROWS, shape.vocabulary, seed=1)
    table = Table(
        "dtype",
        "batches against one row",
        "allowed",
        "one row against float64",
        "batches against float64",
        title=f"{shape.name}: {N_ROWS} rows, {IN_FLOAT64} of them in float64",
    )
    for dtype in (torch.float32, torch.bfloat16):
        model = random_model(shape, dtype, device)
        alone = _alone(model, ids, range(N_ROWS))
        batched = _batched(model, ids, groups)
        exact = _alone(model.double(), ids, range(IN_FLOAT64))
        table.add_row(
            str(dtype).removeprefix("torch."),
            f"{state_error(batched, alone):.1e}",
            f"{tolerance(dtype):.1e}",
            f"{state_error(alone[:IN_FLOAT64], exact):.1e}",
            f"{state_error(batched[:IN_FLOAT64], exact):.1e}",
        )
        del model
    return table


def _alone(model: PreTrainedModel, ids: list[list[int]], rows: range) -> np.ndarray:
    """Final states (M, d) of rows one by one, without hooks."""
    with torch.inference_mode():
        states = [
            model.base_model(torch.tensor([ids[row]], device=model.device)).last_hidden_state[0, -1]
            for row in rows
        ]
    return torch.stack(states).double().cpu().numpy()


def _batched(model: PreTrainedModel, ids: list[list[int]], groups: list[str]) -> np.ndarray:
    """The same as the loop makes them: prefixes once, padded, the last block at the last position."""
    plan = make_plan(ids, groups, budget=16_384)
    states = np.empty((len(ids), model.config.hidden_size))
    with hooked(model, []) as hooks:
        forward = Forward(model, hooks, ids, plan.prefixes)
        for batch in (batch for shard in plan.batches for batch in shard):
            _run(forward, batch, states)
    return states


def _run(forward: Forward, batch: Batch, states: np.ndarray) -> None:
    forward(batch)
    states[list(batch.rows)] = forward.hooks.final_states()[:, 0].double().cpu().numpy()
