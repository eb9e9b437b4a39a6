"""The margin of each prompt: how it is spread, and which prompts are weak for good rather than by chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from margin.analysis.bootstrap import prompt_weights, replicate_samples
from margin.analysis.distances import Distances
from margin.analysis.margins import check_design
from margin.analysis.metrics import Distance
from margin.analysis.silhouette import ModeSums, counterpart_distances, mode_sums, silhouette
from margin.analysis.space import Space
from margin.analysis.vectors import FloatArray
from margin.short import Short
from margin.stats.clusters import Clusters
from margin.stats.design import Design
from margin.stats.estimate import Estimate
from margin.stats.intervals import proportion

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

ROUNDING = 1e-6
"""Values this little below the neutral one are not below it: identical float32 states are off by rounding."""


@dataclass(frozen=True, eq=False)
class Spread(Short):
    """How one per-prompt margin is spread over prompts."""

    measure: str
    quantiles: dict[float, float]
    """Quantiles over prompts by their share, in the unit of the measure."""
    neutral: float
    """The value at which a prompt's modes are not told apart."""
    share_below: Estimate
    """Share of prompts below `neutral`. The interval is over prompts; neighbours and token sets are taken as
    given."""

    def to_frame(self) -> pd.DataFrame:
        """One row: measure, even, q05 and so on, then the fields of the share."""
        quantiles = {f"q{round(100 * share):02d}": value for share, value in self.quantiles.items()}
        return pd.DataFrame(
            [{"measure": self.measure, "even": self.neutral, **quantiles, **self.share_below.to_dict()}]
        )


@dataclass(frozen=True, eq=False)
class PromptMargins(Short):
    """Margins of every prompt; (n,) float64 each."""

    prompt_ids: tuple[str, ...]
    margin: FloatArray
    """Mean over modes of the prompt's leave-prompt-out silhouettes, in [-1, 1]."""
    weakest: FloatArray
    """The least of these silhouettes."""
    weakest_mode: tuple[str, ...]
    """The mode of that silhouette."""
    distance_ratio: FloatArray
    """Mean distance between the prompt's own points (under different modes), over their mean distance to
    other prompts within a mode: 0 where the mode moves nothing, 1 where it moves the prompt as far as prompts
    differ. NaN for a prompt seen under one mode, or without any distance to others."""
    token_margin: FloatArray | None
    """Mean over modes of the first-token margins, in nats; None where these were not given."""
    token_weakest: FloatArray | None
    """The least of these."""
    distance: Distance

    def to_frame(self) -> pd.DataFrame:
        """One line a prompt, in the order of the design: prompt_id and the fields above."""
        tokens = {"token_margin": self.token_margin, "token_weakest": self.token_weakest}
        return pd.DataFrame(
            {
                "prompt_id": self.prompt_ids,
                "margin": self.margin,
                "weakest_mode": self.weakest_mode,
                "weakest": self.weakest,
                "distance_ratio": self.distance_ratio,
                **{name: values for name, values in tokens.items() if values is not None},
            }
        )

    def spreads(self, level: float = 0.95, over: Clusters | None = None) -> tuple[Spread, ...]:
        """Quantiles and share of weak prompts of every measure; `over` are the prompts' clusters."""
        frame = self.to_frame().drop(columns=["prompt_id", "weakest_mode"])
        return tuple(
            spread(
                str(name), values.to_numpy(), neutral=float(name == "distance_ratio"), level=level, over=over
            )
            for name, values in frame.items()
        )


@dataclass(frozen=True, eq=False)
class WorstPrompts(Short):
    """The prompts with the lowest margins, and whether others would do as well."""

    prompt_ids: tuple[str, ...]
    """Lowest margin first."""
    margin: FloatArray
    """Mean over modes of the prompt's leave-prompt-out silhouettes."""
    stability: FloatArray
    """Share of the resamplings that drew the prompt in which it was among the worst m; NaN where none drew
    it. 1 for a prompt that is weak whoever the others are; a little over 1/2 where the list ends."""
    replicates: int

    def to_frame(self) -> pd.DataFrame:
        """One line a prompt: prompt_id, margin, stability."""
        return pd.DataFrame(
            {"prompt_id": self.prompt_ids, "margin": self.margin, "stability": self.stability}
        )


def prompt_margins(
    space: Space,
    design: Design,
    distance: Distance = "cosine",
    token_margins: FloatArray | None = None,
) -> PromptMargins:
    """Margins of every prompt.

    Parameters
    ----------
    token_margins : (N,) first-token margins of the points, in nats.

    Raises
    ------
    MarginError : fewer than two prompts, or a design that does not fit the space.

    Cost: O(N d k) where the distance is linear, O(N^2 d) for Euclidean.
    """
    check_design(space, design)
    distances = space.distances(distance)
    sums = mode_sums(distances, design)
    samples = silhouette(sums.leave_prompt_out().mean, design.mode).samples
    weakest, weakest_mode = _least(samples, design)
    return PromptMargins(
        prompt_ids=design.prompt_ids,
        margin=design.mean_by_prompt(samples),
        weakest=weakest,
        weakest_mode=tuple(design.modes[mode] for mode in weakest_mode),
        distance_ratio=_distance_ratios(sums, distances),
        token_margin=None if token_margins is None else design.mean_by_prompt(token_margins),
        token_weakest=None if token_margins is None else _least(token_margins, design)[0],
        distance=distance,
    )


def spread(
    measure: str,
    values: FloatArray,
    neutral: float = 0.0,
    level: float = 0.95,
    over: Clusters | None = None,
) -> Spread:
    """Quantiles of per-prompt values (n,) and the share of them below `neutral`; NaN values are left out.

    The share's interval is Clopper and Pearson's (1934), "The use of confidence or fiducial limits
    illustrated in the case of the binomial"; without it where fewer than two values are defined.
    """
    known = ~np.isnan(values)
    defined = values[known]
    n = len(defined)
    quantiles = np.quantile(defined, QUANTILES) if n else np.full(len(QUANTILES), np.nan)
    below = (defined < neutral - ROUNDING).astype(np.float64)
    value = float(below.mean()) if n else np.nan
    share = Estimate(value, n_prompts=n)
    if n >= 2 and (over is None or len(over.part(known)) >= 2):
        clusters = None if over is None else over.part(known)
        share = proportion(value, (below - value) / n, level, "Clopper-Pearson over prompts", over=clusters)
    return Spread(measure, dict(zip(QUANTILES, quantiles.tolist(), strict=True)), neutral, share)


def worst_prompts(
    distances: Distances, design: Design, rng: np.random.Generator, count: int = 10, replicates: int = 500
) -> WorstPrompts:
    """The `count` prompts with the lowest margin, with how stable their place on that list is.

    In each replicate n prompts are drawn with replacement, which changes both the rivals for a place and
    everybody's neighbours. A prompt is among the worst where fewer than `count` draws lie strictly below it.

    Cost: O(N d k replicates) where the distance is linear.
    """
    weights = prompt_weights(design, replicates, rng)
    among = np.zeros(design.n_prompts)
    replicated = (samples for some, _ in replicate_samples(distances, design, weights) for samples in some.T)
    for samples, drawn in zip(replicated, weights.T, strict=True):
        among += (drawn > 0) & (_draws_below(design.mean_by_prompt(samples), drawn) < count)
    times = (weights > 0).sum(axis=1)
    stability = np.divide(among, times, where=times > 0, out=np.full(design.n_prompts, np.nan))
    samples = silhouette(mode_sums(distances, design).leave_prompt_out().mean, design.mode).samples
    margin = design.mean_by_prompt(samples)
    worst = np.argsort(margin, kind="stable")[:count]
    ids = tuple(design.prompt_ids[prompt] for prompt in worst)
    return WorstPrompts(ids, margin[worst], stability[worst], replicates)


def _draws_below(values: FloatArray, drawn: FloatArray) -> FloatArray:
    """(n,) draws whose value lies strictly below each value."""
    _, rank = np.unique(values, return_inverse=True)
    draws_at = np.bincount(rank, weights=drawn).astype(np.float64)
    return (np.cumsum(draws_at) - draws_at)[rank]


def _least(values: FloatArray, design: Design) -> tuple[FloatArray, NDArray[np.intp]]:
    """(n,) least value over each prompt's points, and (n,) the mode of that point."""
    by_mode = np.full((design.n_prompts, design.n_modes), np.inf)
    by_mode[design.prompt, design.mode] = values
    return by_mode.min(axis=1), by_mode.argmin(axis=1)


def _distance_ratios(sums: ModeSums, distances: Distances) -> FloatArray:
    design = sums.design
    within = np.take_along_axis(sums.leave_prompt_out().mean, design.mode[:, None], axis=1)[:, 0]
    known = ~np.isnan(within)
    others = design.sum_by_prompt(np.where(known, within, 0))
    others /= np.maximum(design.sum_by_prompt(known.astype(np.float64)), 1)
    pairs = design.sum_by_prompt((design.counterpart >= 0).sum(axis=1) - 1.0)
    own = design.sum_by_prompt(counterpart_distances(distances, design).sum(axis=1))
    defined = (pairs > 0) & (others > 0)
    shares: FloatArray = np.divide(own, pairs * others, where=defined, out=np.full(design.n_prompts, np.nan))
    return shares
