"""Which strings in a token's place open a mode, and what a guesser's chances are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from margin.analysis.robustness.rules import FITS, Fit, Float
from margin.inputs.condition import Rule
from margin.short import Short
from margin.stats.clusters import Clusters
from margin.stats.estimate import Estimate
from margin.stats.intervals import mean_share


@dataclass(frozen=True, eq=False)
class Openings(Short):
    """The landing rule of `margin.analysis.robustness.assignment`, fitted once, for many strings.

    Every prompt's points are placed by a fit on the prompts of other folds.
    """

    rule: Rule
    known: Float
    """(n, k, d) points of n prompts under k modes."""
    fold: NDArray[np.intp]
    """(n,) fold of each prompt."""
    target: NDArray[np.bool_]
    """(k,) modes that count as opened."""

    def distances(self, points: Float, prompt: NDArray[np.intp]) -> Float:
        """(m, k) distances of points (m, d) of these prompts (m,) from the modes."""
        found = np.empty((len(points), self.known.shape[1]))
        for fold, fit in enumerate(self._fits):
            here = self.fold[prompt] == fold
            if here.any():
                found[here] = fit.distances(points[here], self._means[prompt[here]])
        return found

    def depth(self, points: Float, prompt: NDArray[np.intp]) -> NDArray[np.float64]:
        """(m,) how far points lie on the opened modes' side, -1 to 1: above 0 the nearest mode is one."""
        distances = self.distances(points, prompt)
        inside, outside = distances[:, self.target].min(axis=1), distances[:, ~self.target].min(axis=1)
        depth: NDArray[np.float64] = (outside - inside) / np.maximum(outside + inside, np.finfo(float).tiny)
        return depth

    def slope(self, points: Float, prompt: NDArray[np.intp]) -> Float:
        """(m, d) gradient of the depth at points (m, d) of these prompts (m,)."""
        distances, found = self.distances(points, prompt), np.zeros_like(points)
        tiny = np.finfo(float).tiny
        for fold, fit in enumerate(self._fits):
            here = np.flatnonzero(self.fold[prompt] == fold)
            at = fit.mapped(points[here], self._means[prompt[here]])
            nearest, toward = [], []
            for modes in (np.flatnonzero(self.target), np.flatnonzero(~self.target)):
                chosen = modes[distances[here][:, modes].argmin(axis=1)]
                length = np.maximum(distances[here, chosen], tiny)[:, None]
                nearest.append(length)
                toward.append((at - fit.centres[chosen]) / length)
            (inside, outside), (inner, outer) = nearest, toward
            of_fold = 2 * (inside * outer - outside * inner) / np.maximum(inside + outside, tiny) ** 2
            found[here] = fit.pulled_back(of_fold)
        return found

    @cached_property
    def _means(self) -> Float:
        means: Float = self.known.mean(axis=1)
        return means

    @cached_property
    def _fits(self) -> list[Fit]:
        """Of each fold the rule by the prompts outside it."""
        n, k, d = self.known.shape
        X, places = self.known.reshape(-1, d), np.arange(n * k).reshape(n, k)
        return [FITS[self.rule](X, places[self.fold != fold]) for fold in range(self.fold.max() + 1)]


def guessing(opens: NDArray[np.bool_], tries: NDArray[np.intp]) -> NDArray[np.float64]:
    """(n, T) chance that one of so many tries opens, for each prompt whose strings open or not (n, m).

    Tries are drawn without replacement from the m strings, which are drawn at random: unbiased for tries up
    to m (Chen et al., 2021, "Evaluating large language models trained on code", for the same count).
    """
    n_strings, hits = opens.shape[1], opens.sum(axis=1)[:, None]
    misses = n_strings - hits
    possible = misses >= tries
    logs = gammaln(np.where(possible, misses, 0) + 1) - gammaln(np.where(possible, misses - tries, 0) + 1)
    logs = logs + gammaln(n_strings - tries + 1) - gammaln(n_strings + 1)
    chance: NDArray[np.float64] = 1 - np.where(possible, np.exp(logs), 0.0)
    return np.where(hits == 0, 0.0, chance)


def guessing_curve(
    opens: NDArray[np.bool_], tries: NDArray[np.intp], level: float = 0.95, over: Clusters | None = None
) -> list[Estimate]:
    """Chance that one of so many tries opens, for a prompt drawn at random; an estimate a number of tries."""
    chances = guessing(opens, tries)
    return [mean_share(np.clip(chances[:, place], 0, 1), level, over) for place in range(len(tries))]


def worth(rate: Estimate) -> Estimate:
    """Bits that a token is worth to a guesser one of whose tries opens at this rate: -log2 of it.

    The upper end is None where the rate may be 0; where none has opened, the number is that of the highest
    rate that is likely, a lower bound.
    """

    def bits(share: float | None) -> float | None:
        return None if not share else float(max(0.0, -np.log2(share)))

    low, high = bits(rate.high), bits(rate.low)
    value = bits(rate.estimate)
    return Estimate(
        low or 0.0 if value is None else value,
        low,
        high,
        None,
        rate.level,
        f"-log2 of {rate.method}",
        rate.n_prompts,
        rate.n_clusters,
    )
