"""What in the model decides the mode: where rows land whose states were patched or whose attention was cut.

A row is a prompt under a mode. Patched at a layer, the state of its last position is that of the same prompt
under another mode, the donor; cut at a layer, what comes after the token no longer attends to it from there
on. Zhang and Nanda (2023), "Towards best practices of activation patching in language models"; Geva et al.
(2023), "Dissecting recall of factual associations in auto-regressive language models".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from margin.stats.clusters import Clusters
from margin.stats.estimate import Estimate
from margin.stats.folds import wider_share
from margin.stats.intervals import mean_share, t_interval
from margin.stats.multiplicity import simultaneous_estimates, simultaneous_proportions
from margin.stats.power import prompts_needed

Float = NDArray[np.float64]

HALF = 0.5
"""Share of patched rows above which a layer's state decides: more land with the donor than do not."""
KEPT = 0.9
"""Share of cut rows above which the cut no longer matters."""
ROUNDING = 1e-6
"""What is above a bound by no more is not above it."""
SAME = 1e-9
"""Donors whose logits are this close to the recipient's, relative to it, differ by rounding: no transfer is
defined of them."""


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Where the rows of n prompts lie that nothing was done to: what other rows are placed by.

    The rule is that of the landings for tokens in their place: after the prompt's own mean over modes is
    taken away, the nearest centroid, fitted on other folds of prompts.
    """

    points: Float
    """(n, k, D) each prompt under each mode."""
    fold: NDArray[np.intp]
    """(n,) fold of each prompt."""

    @cached_property
    def centroids(self) -> Float:
        """(folds, k, D) centroids over the prompts outside each fold."""
        centred = self.points - self.points.mean(axis=1, keepdims=True)
        return np.stack([centred[self.fold != fold].mean(axis=0) for fold in range(self.fold.max() + 1)])

    def distances(self, X: Float, prompt: NDArray[np.intp]) -> Float:
        """(m, k) distances of points (m, D) of some prompts (m,) from the modes."""
        found = np.empty((len(X), self.points.shape[1]))
        for fold in np.unique(self.fold[prompt]):
            there = self.fold[prompt] == fold
            own = self.points[prompt[there]].mean(axis=1)
            found[there] = cdist(X[there] - own, self.centroids[fold])
        return found

    def accuracy(self, level: float = 0.95, over: Clusters | None = None) -> Estimate:
        """How often a row that nothing was done to lands in its own mode."""
        n, k, width = self.points.shape
        distances = self.distances(self.points.reshape(-1, width), np.repeat(np.arange(n), k))
        scores = -(distances.reshape(n, k, k) ** 2)
        of_means = -np.stack([cdist(each, each, "sqeuclidean") for each in self.centroids])
        correct = (scores.argmax(axis=2) == np.arange(k)).mean(axis=1)
        return mean_share(correct, level, over, wider_share(scores, of_means))


def transfer(patched: Float, recipient: Float, donor: Float) -> Float:
    """(m,) how far the patch carried the logits from the recipient's to the donor's: 0 not at all, 1 whole.

    The projection <v - r, d - r> / |d - r|^2 of points (m, D): below 0 it carried them the other way, above 1
    beyond. NaN where donor and recipient are the same.
    """
    way = donor - recipient
    squared = (way**2).sum(axis=-1)
    defined = squared > SAME**2 * (recipient**2).sum(axis=-1)
    along = ((patched - recipient) * way).sum(axis=-1)
    return np.where(defined, along / np.where(defined, squared, 1), np.nan)


def margin_of(distances: Float, mode: NDArray[np.intp]) -> Float:
    """(m,) silhouette of points by their distances (m, k) from the modes: how much nearer `mode` (m,) is than
    the nearest other; -1 to 1."""
    own = np.take_along_axis(distances, mode[:, None], axis=1)[:, 0]
    others = distances.copy()
    np.put_along_axis(others, mode[:, None], np.inf, axis=1)
    nearest = others.min(axis=1)
    largest = np.maximum(own, nearest)
    found: Float = np.where(largest > 0, (nearest - own) / np.where(largest > 0, largest, 1), 0.0)
    return found


def shares(
    by_prompt: Float, rng: np.random.Generator, level: float = 0.95, over: Clusters | None = None
) -> list[Estimate]:
    """Mean shares with bands that hold for all G columns at once, of shares (n, G) by prompt."""
    values = by_prompt.mean(axis=0)
    return simultaneous_proportions(
        values, (by_prompt - values) / len(by_prompt), rng, level=level, over=over
    )


def means(
    by_prompt: Float, rng: np.random.Generator, level: float = 0.95, over: Clusters | None = None
) -> list[Estimate]:
    """Means with bands that hold for all G columns at once, of numbers (n, G) by prompt."""
    values = by_prompt.mean(axis=0)
    return simultaneous_estimates(values, (by_prompt - values) / len(by_prompt), rng, level=level, over=over)


def mean(by_prompt: Float, level: float = 0.95, over: Clusters | None = None) -> Estimate:
    """Mean with its interval, of numbers (n,) by prompt."""
    value = float(by_prompt.mean())
    return t_interval(value, (by_prompt - value) / len(by_prompt), level, over=over)


@dataclass(frozen=True)
class Handover:
    """The first layer from which on, up to the last, a share stays above a bound."""

    layer: int | None
    """By the estimates; None where the last layer's share is not above it."""
    low: int | None
    """Earliest layer in the interval; None where no layer is."""
    high: int | None
    """Latest layer in the interval; None where no layer is shown to be above."""
    above: float
    """The bound."""
    level: float
    """Nominal coverage of (low, high), at least."""
    n_prompts: int | None
    """Prompts that would settle the layer, where low and high are not the same: that many show, at power .8,
    the nearest open layer's share to lie where its estimate does. None where it is settled, or where no
    number would do."""


def handover(layers: Sequence[int], band: Sequence[Estimate], above: float) -> Handover:
    """Where a share crosses a bound for good, from shares by layer with a simultaneous band.

    As the layer where the modes part: where the band holds in all layers at once, the crossing lies no
    earlier than where its upper edge stays above, and no later than where its lower edge does.
    """
    low = _for_good(layers, [np.nan if e.high is None else e.high for e in band], above)
    high = _for_good(layers, [np.nan if e.low is None else e.low for e in band], above)
    needed = None
    if low != high:
        open_ones = [
            e
            for e in band
            if e.low is not None and e.high is not None and e.low <= above + ROUNDING < e.high and e.se
        ]
        counts = [
            prompts_needed(abs(e.estimate - above), float(e.se or 0) * np.sqrt(e.n_prompts))
            for e in open_ones
        ]
        known = [count for count in counts if count is not None]
        needed = max(known) if known and len(known) == len(counts) else None
    return Handover(
        layer=_for_good(layers, [e.estimate for e in band], above),
        low=low,
        high=high,
        above=above,
        level=band[0].level or np.nan,
        n_prompts=needed,
    )


def _for_good(layers: Sequence[int], values: Sequence[float], above: float) -> int | None:
    """The first layer from which on all values are above; None where the last is not."""
    below = np.flatnonzero(~(np.asarray(values) > above + ROUNDING))
    first = int(below[-1]) + 1 if len(below) else 0
    return layers[first] if first < len(layers) else None
