"""The measures of one comparison between modes: what each is called, its unit, and what it is computed
from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from margin.analysis.distances import Distances
from margin.analysis.separation.angle import centroid_angle
from margin.analysis.separation.aqi import alignment_quality
from margin.analysis.separation.cka import debiased_cka
from margin.analysis.separation.d_prime import d_prime
from margin.analysis.separation.davies_bouldin import davies_bouldin, davies_bouldin_p_value
from margin.analysis.separation.energy import energy_distance
from margin.analysis.separation.held_out import nearest_centroid_accuracy
from margin.analysis.separation.mmd import kernel_distances, mmd2
from margin.analysis.separation.probe import probe
from margin.analysis.separation.ratio import paired_distance_ratio
from margin.analysis.separation.relabelling import relabelling_p_value
from margin.analysis.separation.variance import variance_split
from margin.analysis.space import Coordinates, Space
from margin.analysis.vectors import FloatArray
from margin.errors import MarginError
from margin.stats.design import Design
from margin.stats.estimate import Estimate
from margin.stats.folds import prompt_folds
from margin.stats.seeds import generator

QUADRATIC_PROMPTS = 2000
"""Where there are more prompts, measures over all pairs of points are taken on a random sample of this
many."""


@dataclass(frozen=True, eq=False)
class Contrast:
    """Points of two or more modes, of prompts seen under each, and what several measures of them share."""

    space: Space
    design: Design
    seed: int
    level: float
    permutations: int

    def rng(self, name: str) -> np.random.Generator:
        """The generator of what one measure draws."""
        return generator(self.seed, name)

    @cached_property
    def squared(self) -> Distances:
        """Squared Euclidean distances."""
        return self.space.distances("sqeuclidean")

    @cached_property
    def euclidean(self) -> Distances:
        """Euclidean distances."""
        return self.space.distances("euclidean")

    @cached_property
    def kernel(self) -> Distances:
        """1 - Gaussian kernel."""
        return kernel_distances(self.squared)

    @cached_property
    def fold(self) -> NDArray[np.intp]:
        """(n,) cross-fitting fold of each prompt."""
        return prompt_folds(self.design, self.rng("folds"))

    @cached_property
    def coordinates(self) -> FloatArray:
        """(N, d) points; MarginError where the space has inner products only."""
        if isinstance(self.space, Coordinates):
            return self.space.X
        raise MarginError("needs coordinates, this space has inner products only")

    @cached_property
    def sample(self) -> Contrast:
        """The same on at most `QUADRATIC_PROMPTS` prompts, for what costs the square of their number."""
        if self.design.n_prompts <= QUADRATIC_PROMPTS:
            return self
        keep = self.design.sample(QUADRATIC_PROMPTS, self.rng("sample"))
        return Contrast(
            self.space.subset(keep), self.design.subset(keep), self.seed, self.level, self.permutations
        )

    def p_value(self, measure: str, distances: Distances) -> float:
        """P-value of no difference in these distances, by permutation within prompts."""
        return relabelling_p_value(distances, self.design, self.rng(measure), self.permutations)


Result = tuple[Estimate, float | None]
"""An estimate, and the p-value of no difference where it has one."""

Measure = tuple[Mapping[str, str], Callable[[Contrast], Sequence[Result]]]
"""Units by name of the measures that one function gives together, and that function."""


def _variance(c: Contrast) -> list[Result]:
    split = variance_split(c.squared, c.design, c.level)
    shares = [
        (share, None) for share in (split.prompt, split.mode, split.interaction, split.partial_epsilon2)
    ]
    return [*shares, (split.partial_eta2, c.p_value("partial_eta2", c.squared))]


def _probe(c: Contrast) -> list[Result]:
    found = probe(c.coordinates, c.design, c.fold, c.level)
    return [(found.accuracy, None), (found.auc, None)]


def _d_prime(c: Contrast) -> list[Result]:
    return [(d_prime(c.squared, c.design, c.fold, c.level), None)]


def _nearest_centroid(c: Contrast) -> list[Result]:
    return [(nearest_centroid_accuracy(c.squared, c.design, c.fold, c.level), None)]


def _energy(c: Contrast) -> list[Result]:
    s = c.sample
    found = energy_distance(s.euclidean, s.design, s.level)
    return [(found, s.p_value("energy_distance", s.euclidean))]


def _angle(c: Contrast) -> list[Result]:
    return [(centroid_angle(c.coordinates, c.design, c.level), None)]


def _ratio(c: Contrast) -> list[Result]:
    return [(paired_distance_ratio(c.sample.euclidean, c.sample.design, c.level), None)]


def _davies_bouldin(c: Contrast) -> list[Result]:
    found = davies_bouldin(c.squared, c.design)
    p_value = davies_bouldin_p_value(c.squared, c.design, c.rng("davies_bouldin"), c.permutations)
    return [(found, p_value)]


def _mmd2(c: Contrast) -> list[Result]:
    s = c.sample
    found = mmd2(s.kernel, s.design, s.level)
    return [(found, s.p_value("mmd2", s.kernel))]


def _cka(c: Contrast) -> list[Result]:
    return [(debiased_cka(c.sample.squared, c.sample.design), None)]


def _aqi(c: Contrast) -> list[Result]:
    found = alignment_quality(c.squared, c.design)
    return [(found.xie_beni, None), (found.calinski_harabasz, None), (found.composite, None)]


MEASURES: tuple[Measure, ...] = (
    (
        {
            "variance_prompt": "share of variance",
            "variance_mode": "share of variance",
            "variance_interaction": "share of variance",
            "partial_epsilon2": "share of variance within prompts",
            "partial_eta2": "share of variance within prompts",
        },
        _variance,
    ),
    ({"probe_accuracy": "share of points", "probe_auc": "probability"}, _probe),
    ({"d_prime": "standard deviations"}, _d_prime),
    ({"nearest_centroid_accuracy": "share of points"}, _nearest_centroid),
    ({"energy_distance": "distance"}, _energy),
    ({"centroid_angle": "degrees"}, _angle),
    ({"paired_distance_ratio": "ratio"}, _ratio),
    ({"davies_bouldin": "ratio"}, _davies_bouldin),
)
"""What every table holds."""

OPTIONAL: tuple[Measure, ...] = (
    ({"mmd2": "squared kernel distance"}, _mmd2),
    ({"debiased_cka": "similarity"}, _cka),
    (
        {
            "xie_beni (comparison only)": "ratio",
            "calinski_harabasz (comparison only)": "ratio",
            "aqi_composite (comparison only)": "0 to 1",
        },
        _aqi,
    ),
)
"""What is added when asked for."""

SMALLER_IS_APART = frozenset(
    {"variance_prompt", "davies_bouldin", "debiased_cka", "xie_beni (comparison only)"}
)
"""Measures that fall where modes stand farther apart; all others rise."""
