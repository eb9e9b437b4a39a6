"""Where in the network the modes part: the margin of every captured layer, with bands that hold for all at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from margin.analysis.design import Design
from margin.analysis.distances import Distance
from margin.analysis.estimate import Estimate
from margin.analysis.multiplicity import multiplier_draws, simultaneous_estimates, standard_errors
from margin.analysis.sam import leave_prompt_out_margin
from margin.analysis.space import Space


@dataclass(frozen=True)
class Parting:
    """The layer where the modes part, by the rule of `parting`."""

    layer: int | None
    """The layer; None where the modes never part for good."""
    low: int | None
    """Earliest layer in the interval."""
    high: int | None
    """Latest layer in the interval; None where resampled curves may never part."""
    level: float
    """Nominal coverage of (low, high)."""
    share_parted: float
    """Share of resampled curves that part at all."""


@dataclass(frozen=True, eq=False)
class LayerCurve:
    """Margin by layer."""

    layers: tuple[int, ...]
    leave_prompt_out: tuple[Estimate, ...]
    """Leave-prompt-out margins with a simultaneous band over layers."""
    prompt_centred: tuple[Estimate, ...]
    """Prompt-centred margins with a simultaneous band over layers."""
    parting: Parting
    distance: Distance

    def to_frame(self) -> pd.DataFrame:
        """One line a layer and variant: layer, variant, the fields of the estimate, distance."""
        records = [
            {"layer": layer, "variant": variant, **estimate.to_dict()}
            for variant in ("leave_prompt_out", "prompt_centred")
            for layer, estimate in zip(self.layers, getattr(self, variant), strict=True)
        ]
        return pd.DataFrame(records).assign(distance=self.distance)


def layer_curve(
    spaces: Iterable[tuple[int, Space]],
    design: Design,
    rng: np.random.Generator,
    distance: Distance = "cosine",
    level: float = 0.95,
) -> LayerCurve:
    """Margins of every layer.

    Parameters
    ----------
    spaces : layers in ascending order with their points; read one at a time, so only one layer is in memory.
    rng : draws the multipliers of the bands and of the parting's interval.

    Cost: O(N d k) a layer for linear distances; the bands cost n x layers x draws.
    """
    layers: list[int] = []
    margins: list[tuple[float, float]] = []
    influences: list[NDArray[np.float64]] = []
    for layer, space in spaces:
        plain, plain_influence = leave_prompt_out_margin(space.distances(distance), design)
        centred = space.centred_by_prompt(design)
        centred_margin, centred_influence = leave_prompt_out_margin(centred.distances(distance), design)
        layers.append(layer)
        margins.append((plain, centred_margin))
        influences.append(np.column_stack([plain_influence, centred_influence]))
    values = np.array(margins)
    U = np.stack(influences, axis=-1)  # (n, variant, layer)
    bands = [simultaneous_estimates(values[:, v], U[:, v], rng, level=level) for v in range(2)]
    return LayerCurve(
        layers=tuple(layers),
        leave_prompt_out=tuple(bands[0]),
        prompt_centred=tuple(bands[1]),
        parting=parting(layers, values[:, 0], U[:, 0], bands[0], rng, level),
        distance=distance,
    )


def parting(
    layers: list[int],
    values: NDArray[np.float64],
    influence: NDArray[np.float64],
    band: list[Estimate],
    rng: np.random.Generator,
    level: float = 0.95,
) -> Parting:
    """The first layer from which on, up to the last, the lower band of the margin stays above 0.

    "From which on" keeps a chance excursion in an early layer from deciding, and 0 is on the safe side of the null
    margin, which lies a little below it. The interval comes from curves redrawn with Gaussian multipliers on the
    prompts' influences, each put to the same rule at the same band width.
    """
    se = standard_errors(influence)
    half = np.array([e.estimate - e.low for e in band if e.low is not None])
    curves = values + multiplier_draws(influence, rng)
    first = _first_for_good(curves - half > 0)
    observed = int(_first_for_good(values[None] - half > 0)[0])
    if not se.any():
        first = np.full(len(first), observed)
    places = np.append(np.array(layers, dtype=np.float64), np.inf)
    low, high = np.quantile(places[first], [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    return Parting(
        layer=layers[observed] if observed < len(layers) else None,
        low=int(low) if np.isfinite(low) else None,
        high=int(high) if np.isfinite(high) else None,
        level=level,
        share_parted=float(np.mean(first < len(layers))),
    )


def _first_for_good(above: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Index of the first column from which on a row (B, L) is True to its end; L where there is none."""
    suffix = np.logical_and.accumulate(above[:, ::-1], axis=1)[:, ::-1]
    return np.where(suffix.any(axis=1), suffix.argmax(axis=1), above.shape[1])
