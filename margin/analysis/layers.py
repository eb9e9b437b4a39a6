"""Where in the network the modes part: margin and separation of every layer, with bands that hold for all
layers at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from margin.analysis.margins import check_design, leave_prompt_out_margin
from margin.analysis.metrics import Distance
from margin.analysis.separation.variance import variance_split
from margin.analysis.space import Space
from margin.errors import MarginError
from margin.short import Short
from margin.stats.design import Design
from margin.stats.estimate import Estimate
from margin.stats.multiplicity import simultaneous_estimates

ROUNDING = 1e-6
"""Margins up to this count as 0: identical float32 states give a band of their rounding's width."""


@dataclass(frozen=True)
class Onset:
    """The layer where the modes part: the first from which on, up to the last, the margin stays above 0."""

    layer: int | None
    """By the estimates; None where the last layer's margin is not above 0."""
    low: int | None
    """Earliest layer in the interval; None where the modes are shown not to part."""
    high: int | None
    """Latest layer in the interval; None where the modes are not shown to part."""
    level: float
    """Nominal coverage of (low, high), at least."""

    def to_frame(self) -> pd.DataFrame:
        """One-row table with the fields as columns."""
        return pd.DataFrame([asdict(self)])


@dataclass(frozen=True, eq=False)
class LayerCurve(Short):
    """Margin by layer."""

    layers: tuple[int, ...]
    leave_prompt_out: tuple[Estimate, ...]
    """Leave-prompt-out margins with a simultaneous band over layers."""
    prompt_centred: tuple[Estimate, ...]
    """Prompt-centred margins with a simultaneous band over layers."""
    separation: tuple[Estimate, ...]
    """The mode's share of the variance within prompts (`partial_epsilon2` of the variance split, squared
    Euclidean) with a simultaneous band over layers, conservative where modes do not differ; empty where a
    prompt was not seen under every mode."""
    onset: Onset
    distance: Distance

    @property
    def half(self) -> int | None:
        """The first layer from which on, up to the last, the leave-prompt-out margin is at least half of the
        last layer's; None where that is not above 0."""
        margins = np.array([e.estimate for e in self.leave_prompt_out])
        if not margins[-1] > ROUNDING:
            return None
        return _first_for_good(self.layers, margins >= margins[-1] / 2)

    def to_frame(self) -> pd.DataFrame:
        """One line a layer and variant: layer, variant, the fields of the estimate, distance."""
        records = [
            {"layer": layer, "variant": variant, **estimate.to_dict()}
            for variant in ("leave_prompt_out", "prompt_centred")
            for layer, estimate in zip(self.layers, getattr(self, variant), strict=True)
        ]
        return pd.DataFrame(records).assign(distance=self.distance)

    def separation_frame(self) -> pd.DataFrame:
        """One line a layer: layer, measure, and the fields of the estimate of `separation`."""
        return pd.DataFrame(
            [
                {"layer": layer, "measure": "partial_epsilon2", **estimate.to_dict()}
                for layer, estimate in zip(self.layers, self.separation, strict=False)
            ]
        )


def layer_curve(
    spaces: Iterable[tuple[int, Space]],
    design: Design,
    rng: np.random.Generator,
    distance: Distance = "cosine",
    level: float = 0.95,
) -> LayerCurve:
    """Margins and separation of every layer.

    Parameters
    ----------
    spaces : layers in ascending order with their points; read one at a time, so only one layer is in memory.
    rng : draws the multipliers of the bands.

    Raises
    ------
    MarginError : no layer, layers that do not ascend, fewer than two prompts, a design that does not fit a
        space.

    Cost: O(N d k) a layer for linear distances; the bands cost (n + draws) x layers^2.
    """
    layers: list[int] = []
    margins: list[tuple[float, float]] = []
    influences: list[NDArray[np.float64]] = []
    shares: list[tuple[float, NDArray[np.float64]]] = []
    for layer, space in spaces:
        if layers and layer <= layers[-1]:
            raise MarginError(f"layer {layer} comes after layer {layers[-1]}: give layers in ascending order")
        check_design(space, design)
        plain, plain_influence = leave_prompt_out_margin(space.distances(distance), design)
        centred = space.centred_by_prompt(design)
        centred_margin, centred_influence = leave_prompt_out_margin(centred.distances(distance), design)
        layers.append(layer)
        margins.append((plain, centred_margin))
        influences.append(np.column_stack([plain_influence, centred_influence]))
        if design.is_complete:
            split = variance_split(space.distances("sqeuclidean"), design, level)
            shares.append((split.partial_epsilon2.estimate, split.influence))
    if not layers:
        raise MarginError("no layer was captured: collect the run with --layers")
    values = np.array(margins)
    U = np.stack(influences, axis=-1)  # (n, variant, layer)
    own = rng.spawn(3)
    bands = [
        simultaneous_estimates(values[:, v], U[:, v], own[v], level=level, over=design.clusters)
        for v in range(2)
    ]
    separation = (
        simultaneous_estimates(
            [value for value, _ in shares],
            np.column_stack([U for _, U in shares]),
            own[2],
            level=level,
            over=design.clusters,
        )
        if shares
        else []
    )
    return LayerCurve(
        layers=tuple(layers),
        leave_prompt_out=tuple(bands[0]),
        prompt_centred=tuple(bands[1]),
        separation=tuple(separation),
        onset=onset(layers, bands[0]),
        distance=distance,
    )


def onset(layers: Sequence[int], band: Sequence[Estimate]) -> Onset:
    """Where the modes part, from margins with a simultaneous band.

    "From which on" keeps a chance excursion in an early layer from deciding. What is estimated is the margin
    of a run of as many prompts: with three modes or more, where they hardly differ, that lies below 0 by some
    1 / sqrt(n), the nearest of several equal rivals being nearer than one's own mode, so 0 is on the safe
    side of it. Where the band holds in all layers at once, the layer lies no
    earlier than where its upper edge, and no later than where its lower edge stays above 0: the interval
    covers whenever the band does. (Redrawing the curve would not do: where a curve is flat, small deviations
    move the layer far, and a bootstrap interval covers anything from never to always.)
    """
    return Onset(
        layer=_first_for_good(layers, [e.estimate for e in band]),
        low=_first_for_good(layers, [np.nan if e.high is None else e.high for e in band]),
        high=_first_for_good(layers, [np.nan if e.low is None else e.low for e in band]),
        level=band[0].level or np.nan,
    )


def _first_for_good(layers: Sequence[int], values: ArrayLike) -> int | None:
    """The first layer from which on all values are above 0; None where the last is not."""
    below = np.flatnonzero(~(np.asarray(values) > ROUNDING))
    first = below[-1] + 1 if len(below) else 0
    return layers[first] if first < len(layers) else None
