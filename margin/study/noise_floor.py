"""How far the margin is known at all: its spread over ways to compute it that differ by rounding only."""

from __future__ import annotations

from typing import Any

import numpy as np

from margin.analysis.margins import leave_prompt_out_margin
from margin.analysis.metrics import Distance
from margin.analysis.space import Coordinates
from margin.run.run import Run
from margin.stats.design import make_design

DISTANCE: Distance = "cosine"


def noise_floor(run: Run) -> dict[str, Any] | None:
    """What the manifest says of the repeated rows, and `sam`: the range of their leave-prompt-out margins.

    `sam` is the largest less the smallest cosine margin of the repeated prompts over the ways their rows were
    computed (as in the run, one by one, in other batches), in `space`: the logits, or the final state where
    the head is not affine. A difference between runs below it says nothing. None where rows were not
    repeated. Costs three margins of a few prompts.
    """
    floor = run.manifest.noise_floor
    if floor is None:
        return None
    rows, ways = run.repeats()
    lines = run.rows.iloc[rows]
    design = make_design(lines["condition"].to_numpy(), lines["prompt_id"].to_numpy())
    logits = [X for states in ways if (X := run.logit_points(states)) is not None]
    spaces = [Coordinates(X, "logits") for X in logits] or [Coordinates(X, "state") for X in ways]
    sams = [leave_prompt_out_margin(space.distances(DISTANCE), design)[0] for space in spaces]
    return {**floor.to_dict(), "sam": float(np.ptp(sams)), "space": spaces[0].name, "distance": DISTANCE}
