"""Along the response: the margin at its first positions, with bands that hold for all at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from margin.analysis.margins import leave_prompt_out_margin
from margin.analysis.metrics import Distance
from margin.analysis.space import Space
from margin.errors import MarginError
from margin.short import Short
from margin.stats.design import Design
from margin.stats.estimate import Estimate
from margin.stats.multiplicity import simultaneous_estimates


@dataclass(frozen=True, eq=False)
class PositionCurve(Short):
    """Margin by response position; 1 is where the first token of the response is predicted."""

    positions: tuple[int, ...]
    leave_prompt_out: tuple[Estimate, ...]
    """Leave-prompt-out margins with a simultaneous band; `n_prompts` says how many prompts each rests on."""
    prompt_centred: tuple[Estimate, ...]
    """Prompt-centred margins, likewise."""
    space: str
    distance: Distance

    def to_frame(self) -> pd.DataFrame:
        """One line a position and variant: position, variant, the fields of the estimate, space, distance."""
        records = [
            {"position": position, "variant": variant, **estimate.to_dict()}
            for variant in ("leave_prompt_out", "prompt_centred")
            for position, estimate in zip(self.positions, getattr(self, variant), strict=True)
        ]
        return pd.DataFrame(records).assign(space=self.space, distance=self.distance)


def position_curve(
    spaces: Iterable[tuple[int, Space, Design]],
    rng: np.random.Generator,
    distance: Distance = "cosine",
    level: float = 0.95,
) -> PositionCurve:
    """Margins along the response.

    Parameters
    ----------
    spaces : positions in ascending order, each with its points and their design; read one at a time. The
        first holds all prompts, each later one some of them.
    rng : draws the multipliers of the bands.

    What later positions say is of the prompts whose answers last so long, not of all: compare a position with
    the first only where they are the same.

    Raises
    ------
    MarginError : no position, fewer than two prompts at one.

    Cost: O(N d k) a position for linear distances; the bands cost (n + draws) x positions^2.
    """
    positions: list[int] = []
    margins: list[tuple[float, float]] = []
    sizes: list[int] = []
    units: list[int] = []
    influences: list[NDArray[np.float64]] = []
    prompts, name, over = pd.Index([]), "", None
    for position, space, design in spaces:
        prompts = prompts if positions else pd.Index(design.prompt_ids)
        name = space.name
        over, spread = design.clusters if not positions else over, np.zeros((len(prompts), 2))
        found = []
        for variant, points in enumerate((space, space.centred_by_prompt(design))):
            margin, influence = leave_prompt_out_margin(points.distances(distance), design)
            spread[prompts.get_indexer(pd.Index(design.prompt_ids)), variant] = influence
            found.append(margin)
        positions.append(position)
        margins.append((found[0], found[1]))
        sizes.append(design.n_prompts)
        units.append(design.n_units)
        influences.append(spread)
    if not positions:
        raise MarginError("no response position is reached by two prompts under all modes")
    values, U = np.array(margins), np.stack(influences, axis=-1)  # (n, variant, position)
    bands = [
        simultaneous_estimates(
            values[:, v], U[:, v], own, level=level, n_prompts=sizes, n_clusters=units, over=over
        )
        for v, own in enumerate(rng.spawn(2))
    ]
    return PositionCurve(
        positions=tuple(positions),
        leave_prompt_out=tuple(bands[0]),
        prompt_centred=tuple(bands[1]),
        space=name,
        distance=distance,
    )
