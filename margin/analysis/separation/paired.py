"""Complete prompts: those seen under every mode in question, so that each compares a prompt with itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from margin.analysis.space import Space
from margin.errors import MarginError
from margin.stats.clusters import Clusters
from margin.stats.design import Design
from margin.stats.estimate import Estimate
from margin.stats.intervals import t_interval
from margin.text import counted


def complete(space: Space, design: Design, modes: Sequence[str]) -> tuple[Space, Design]:
    """The points of `modes` whose prompt was seen under each of them.

    Raises
    ------
    MarginError : fewer than two such prompts.
    """
    wanted = np.isin(design.modes, list(modes))
    keep = wanted[design.mode] & (design.counterpart[:, wanted] >= 0).all(axis=1)
    n_prompts = keep.sum() // max(1, len(modes))
    if n_prompts < 2:
        raise MarginError(
            f"only {counted(n_prompts, 'prompt')} seen under all of "
            f"the modes {', '.join(modes)}: give at least two"
        )
    space, design = (space, design) if keep.all() else (space.subset(keep), design.subset(keep))
    if design.n_units < 2:
        raise MarginError(
            f"all prompts seen under the modes {', '.join(modes)} are of one cluster: two are needed"
        )
    return space, design


def points_by_prompt(design: Design) -> NDArray[np.intp]:
    """(n, k) index of the point of each prompt under each mode.

    Raises
    ------
    MarginError : a prompt was not seen under every mode.
    """
    if not design.is_complete:
        raise MarginError("some prompts were not seen under every mode: leave them out (`complete`)")
    points = np.empty((design.n_prompts, design.n_modes), dtype=np.intp)
    points[design.prompt, design.mode] = np.arange(design.n_points)
    return points


def mean_estimate(
    values: NDArray[np.floating], level: float = 0.95, over: Clusters | None = None
) -> Estimate:
    """Mean of one value a prompt (n,), with Student's t interval over prompts; none from a single prompt."""
    values = values.astype(np.float64)
    mean = values.mean()
    return t_interval(float(mean), (values - mean) / len(values), level, "t over prompts", over=over)
