"""All measures of separation of one space, over all modes and between every two, as one tidy table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np
import pandas as pd

from margin.analysis.margins import pair_name
from margin.analysis.separation.measures import MEASURES, OPTIONAL, Contrast, Result
from margin.analysis.separation.paired import complete
from margin.analysis.separation.tokens import TokenTables, token_distances
from margin.analysis.space import Coordinates, Space
from margin.errors import MarginError
from margin.stats.design import Design
from margin.stats.estimate import Estimate

ALL = "all"
"""What the column `modes` says of a measure over all modes."""

TOKEN_UNITS = {
    "mutual_information": "bits",
    "mixture_information": "bits",
    "total_variation": "probability",
    "hellinger2": "squared distance",
}
NUMBERS = ("estimate", "low", "high", "se", "level", "p_value")
COLUMNS = (
    *("measure", "modes", "estimate", "low", "high", "se", "level"),
    *("method", "n_prompts", "p_value", "unit", "space"),
)


@dataclass(frozen=True)
class Measured:
    """One measure of one comparison."""

    measure: str
    modes: str
    """"all", or "a / b"."""
    estimate: Estimate
    p_value: float | None
    unit: str
    space: str


def separation(
    space: Space,
    design: Design,
    tokens: TokenTables | None = None,
    *,
    rng: np.random.Generator,
    optional: bool = False,
    level: float = 0.95,
    permutations: int = 999,
) -> pd.DataFrame:
    """Measure how far the modes stand apart, over all of them and between every two.

    Parameters
    ----------
    space, design : N points. A prompt that lacks one of the modes in question is left out of that comparison.
    tokens : what the run keeps of whole next-token distributions; None leaves those measures out.
    rng : draws folds, relabellings and, beyond 2,000 prompts, a sample of prompts for the quadratic measures.
    optional : add unbiased MMD^2, debiased CKA, and, for comparison only, the composite of the Alignment
        Quality Index.
    level : nominal coverage of each interval by itself.
    permutations : relabellings behind each p-value.

    Returns
    -------
    One line a measure and comparison: measure, modes ("all", or "a / b"; of two modes only "all"), estimate,
    low, high, se, level, method, n_prompts, p_value, unit, space. low, high, se, level and p_value are NaN
    where none is known to be valid. A measure that cannot be had has a NaN estimate, and its method says why:
    "skipped: ...".

    Cost: O(N d^2 + d^3) for the probes, O(N d k) a permutation of the variance split, and the square of the
    number of points (at most 2,000 prompts) for energy distance, paired-distance ratio, MMD and CKA.

    Raises
    ------
    MarginError : a design that does not fit the space, NaN or infinite points, or no two complete prompts.
    """
    found = measured(
        space, design, tokens, rng=rng, optional=optional, level=level, permutations=permutations
    )
    lines = [
        {"measure": one.measure, "modes": one.modes, **one.estimate.to_dict()}
        | {"p_value": one.p_value, "unit": one.unit, "space": one.space}
        for one in found
    ]
    columns = [*COLUMNS, *([] if design.clusters is None else ["n_clusters"])]
    return pd.DataFrame(lines, columns=columns).astype(dict.fromkeys(NUMBERS, np.float64))


def measured(
    space: Space,
    design: Design,
    tokens: TokenTables | None = None,
    *,
    rng: np.random.Generator,
    optional: bool = False,
    level: float = 0.95,
    permutations: int = 999,
) -> list[Measured]:
    """What `separation` puts into its table, as estimates; parameters and errors as there."""
    if space.n_points != design.n_points:
        raise MarginError(f"{space.n_points} points but {design.n_points} modes: give one mode a point")
    if isinstance(space, Coordinates) and not np.isfinite(space.X).all():
        raise MarginError(f"space {space.name!r} holds NaN or infinite points: leave these prompts out")
    contrasts: dict[str, tuple[str, ...]] = {ALL: design.modes}
    if design.n_modes > 2:
        contrasts |= {pair_name(pair): pair for pair in combinations(design.modes, 2)}
    lines: list[Measured] = []
    # All contrasts draw the same folds and relabellings, so the order of the modes does not matter; each
    # measure has a generator of its own, so neither does which others there are.
    seed = int(rng.integers(2**63))
    for name, modes in contrasts.items():
        contrast = Contrast(*complete(space, design, modes), seed, level, permutations)
        for units, measure in (*MEASURES, *(OPTIONAL if optional else ())):
            lines += _lines(units, partial(measure, contrast), modes=name, space=space.name)
        if tokens is not None:
            found = partial(_tokens, tokens, modes, level)
            lines += _lines(TOKEN_UNITS, found, modes=name, space="probabilities")
    return lines


def _lines(
    units: Mapping[str, str], measure: Callable[[], Sequence[Result]], modes: str, space: str
) -> list[Measured]:
    """Lines of the measures that one function gives, or of why it gives none."""
    try:
        results = measure()
    except MarginError as reason:
        results = [(Estimate(np.nan, method=f"skipped: {reason}"), None)] * len(units)
    return [
        Measured(name, modes, estimate, p_value, unit, space)
        for (name, unit), (estimate, p_value) in zip(units.items(), results, strict=True)
    ]


def _tokens(tables: TokenTables, modes: Sequence[str], level: float) -> list[Result]:
    found = token_distances(tables, modes, level)
    missing = Estimate(np.nan, method="skipped: the run keeps no whole distributions of these modes together")
    estimates = (
        found.mutual_information or missing,
        found.mixture_information or missing,
        found.total_variation,
        found.hellinger2,
    )
    return [(estimate, None) for estimate in estimates]
