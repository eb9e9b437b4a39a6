"""The margin within slices: what is left when points are compared with points of their own slice only.

A pooled silhouette mixes what prompts differ in (a language, a topic) into the margin: points of one mode in
two languages may lie farther apart than points of two modes in one. Within a slice they do not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from margin.analysis.margins import check_design, leave_prompt_out_margin
from margin.analysis.metrics import Distance
from margin.analysis.silhouette import counterpart_distances, mode_sums, silhouette
from margin.analysis.space import Space
from margin.errors import MarginError
from margin.short import Short
from margin.stats.design import Design
from margin.stats.estimate import Estimate
from margin.stats.intervals import t_interval


@dataclass(frozen=True, eq=False)
class StratifiedMargin(Short):
    """The margin within the slices of one column."""

    column: str
    within: Estimate
    """Leave-prompt-out margin within slices, averaged over slices by their share of the prompts."""
    plain: float
    """The same of plain silhouettes, as scikit-learn computes them slice by slice."""
    names: tuple[str, ...]
    """Slices taken part, those of two prompts or more."""
    slices: tuple[Estimate, ...]
    """Leave-prompt-out margin of each slice by itself."""
    left_out: int
    """Prompts of slices too small to have a margin, or without a value."""
    between_share: float
    """Share of the prompts' variance that lies between slices, at most 1; about 0 without a difference."""


def stratified_margin(
    space: Space,
    design: Design,
    column: pd.Series,
    distance: Distance = "cosine",
    level: float = 0.95,
) -> StratifiedMargin:
    """Margin within the slices of a column.

    Parameters
    ----------
    column : values by prompt id (index).

    The interval takes the slices' shares as drawn with the prompts: the influence of prompt p of slice s is
    w_s U_p + (SAM_s - SAM) / n, with U_p its influence within the slice.

    Raises
    ------
    MarginError : fewer than two prompts, a design that does not fit, no slice of two prompts (or clusters).

    Cost: that of a margin a slice, and of the squared distances of all points.
    """
    check_design(space, design)
    codes, values = pd.factorize(column.reindex(list(design.prompt_ids)))
    names, estimates, plain, influences, members = [], [], [], [], []
    for code, value in enumerate(values):
        prompts = codes == code
        points = prompts[design.prompt]
        own = design.part(points)
        if own.n_units < 2 or len(np.unique(own.mode)) < 2:
            continue
        distances = space.subset(points).distances(distance)
        margin, influence = leave_prompt_out_margin(distances, own)
        names.append(str(value))
        estimates.append(t_interval(margin, influence, level, over=own.clusters))
        plain.append(float(silhouette(mode_sums(distances, own).plain().mean, own.mode).samples.mean()))
        influences.append(influence)
        members.append(np.flatnonzero(prompts))
    if not names:
        raise MarginError(f"column {column.name!r} has no slice of two prompts: no margin within slices")
    sizes = np.array([len(each) for each in members])
    n, margins = int(sizes.sum()), np.array([each.estimate for each in estimates])
    whole = float(sizes @ margins / n)
    U = np.zeros(design.n_prompts)
    for size, of_slice, influence, where in zip(sizes, margins, influences, members, strict=True):
        U[where] = size / n * influence + (of_slice - whole) / n
    there = np.concatenate(members)
    kept = np.sort(there)
    over = None if design.clusters is None else design.clusters.part(kept)
    return StratifiedMargin(
        column=str(column.name),
        within=t_interval(whole, U[kept], level, "infinitesimal jackknife within slices, t", over=over),
        plain=float(sizes @ np.array(plain) / n),
        names=tuple(names),
        slices=tuple(estimates),
        left_out=design.n_prompts - n,
        between_share=_between_share(space, design, codes),
    )


def _between_share(space: Space, design: Design, codes: NDArray[np.intp]) -> float:
    """1 - W / T with unbiased traces of the prompts' means within slices and over all; 0 without spread."""
    known = codes >= 0
    points = known[design.prompt]
    own, code = design.part(points), codes[known]
    distances = space.subset(points).distances("sqeuclidean")
    n, sizes = own.n_prompts, np.bincount(code)
    points_of = np.bincount(own.prompt)
    in_slice = (code[:, None] == np.arange(len(sizes))) / sizes  # (n, slices)
    weights = np.column_stack([in_slice, np.full(n, 1 / n)])[own.prompt] / points_of[own.prompt][:, None]
    # |mean of a prompt - centroid|^2 from distances alone: u.D v for weights u, v that sum to 1, less what
    # each spreads about its own mean.
    to_centroids = distances.matmul(weights)
    of_prompt = own.mean_by_prompt(to_centroids)
    inner = np.einsum("ic,ic->c", weights, to_centroids)
    own_spread = own.sum_by_prompt(counterpart_distances(distances, own).sum(axis=1)) / (2 * points_of**2)
    squared = of_prompt - own_spread[:, None] - inner / 2
    within = float(squared[np.arange(n), code].sum() / max(n - len(sizes), 1))
    total = float(squared[:, -1].sum() / (n - 1))
    return 1 - within / total if total > 0 else 0.0
