"""What of the margin is left when prompts are wrapped by an attack."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from margin.analysis.margins import leave_prompt_out_margin
from margin.analysis.metrics import Distance
from margin.analysis.slices import is_ranked, slice_margins
from margin.analysis.space import Space
from margin.short import Short
from margin.stats.design import Design
from margin.stats.estimate import Estimate
from margin.stats.intervals import JACKKNIFE, t_interval


@dataclass(frozen=True)
class Retention(Short):
    """The margin between the modes' points of the same prompts, attacked and as they stand."""

    attacked: Estimate
    """Leave-prompt-out margin under the attack."""
    change: Estimate
    """That minus the margin without it; paired by prompt."""
    share: Estimate | None
    """The one over the other, paired by prompt; None where the margin without the attack may be 0."""


def retention(
    plain: Space, attacked: Space, design: Design, distance: Distance = "cosine", level: float = 0.95
) -> Retention:
    """Compare the margins of two spaces of one design: same prompts and modes, in the same order.

    The variance of a paired difference is that of the difference of the influences, prompt by prompt; that of
    the ratio follows by the delta method.
    """
    before, U = leave_prompt_out_margin(plain.distances(distance), design)
    after, V = leave_prompt_out_margin(attacked.distances(distance), design)
    paired = f"paired {JACKKNIFE}"
    over = design.clusters
    reference = t_interval(before, U, level, over=over)
    share = None
    if reference.low is not None and reference.low > 0:
        ratio = after / before
        share = t_interval(ratio, (V - ratio * U) / before, level, f"{paired}, ratio", over=over)
    return Retention(
        attacked=t_interval(after, V, level, over=over),
        change=t_interval(after - before, V - U, level, paired, over=over),
        share=share,
    )


def changes_by_slice(
    plain: Space,
    attacked: Space,
    design: Design,
    column: pd.Series,
    distance: Distance = "cosine",
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Change of each slice's margin under the attack, paired by prompt; no interval for small slices."""
    # The generator serves simultaneous bounds, which are not used here.
    before, after = (
        slice_margins(space, design, column, np.random.default_rng(0), distance)
        for space in (plain, attacked)
    )
    influence: NDArray[np.float64] = (after.influence - before.influence).to_numpy()
    found = {}
    for g, (name, was, now) in enumerate(zip(before.names, before.margins, after.margins, strict=True)):
        value = now.estimate - was.estimate
        found[name] = Estimate(value, n_prompts=was.n_prompts)
        if is_ranked(was):
            interval = t_interval(value, influence[:, g], level, f"paired {JACKKNIFE}", over=design.clusters)
            found[name] = replace(interval, n_prompts=was.n_prompts, n_clusters=was.n_clusters)
    return found
