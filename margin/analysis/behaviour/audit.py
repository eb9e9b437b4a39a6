"""What a judge of answers gets wrong, from a sample of its rows that a person labelled too.

Rows are drawn at random within *strata* (a condition and the judge's label), labelled by hand, and put
together by the strata's shares: sum_l W_l p_l, W_l the share of the rows that the judge gave to stratum l and
p_l the share of the sampled ones there that a person calls so. That is double sampling for stratification
(Neyman, 1938; Cochran, 1977, "Sampling Techniques", ch. 12): it holds however badly the judge does, and
takes no sensitivity or specificity from elsewhere. Those of the judge are ratios of such sums; counted on the
sample alone they would be biased, since what is sampled hangs on what the judge said (Begg and Greenes, 1983,
"Assessment of diagnostic tests when disease verification is subject to selection bias").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from margin.stats.clusters import Clusters
from margin.stats.estimate import Estimate
from margin.stats.intervals import FEW_CLUSTERS
from margin.stats.quantiles import normal_quantile, t_quantile

Float = NDArray[np.float64]
Int = NDArray[np.intp]

METHOD = "stratified by the judge's label, score"
STEP = 1e-9
"""Distance from an end of [0, 1] at which the variance is not yet 0."""


@dataclass(frozen=True, eq=False)
class Sample:
    """N judged rows, of which some were drawn at random within strata and labelled by hand."""

    stratum: Int
    """(N,) stratum of each row, 0 to S-1; each holds at least one labelled row."""
    labelled: NDArray[np.bool_]
    """(N,) whether a person labelled it."""
    prompt: Int
    """(N,) prompt of each row, 0 to n-1."""
    over: Clusters | None = None
    """The clusters of the n prompts; the independent units then."""

    @cached_property
    def sizes(self) -> Float:
        """(S,) rows of each stratum."""
        return self._counts(np.ones(len(self.stratum), dtype=bool))

    @cached_property
    def drawn(self) -> Float:
        """(S,) labelled rows of each stratum."""
        return self._counts(self.labelled)

    @cached_property
    def shares(self) -> Float:
        """(S,) share of all rows that is in each stratum."""
        shares: Float = self.sizes / self.sizes.sum()
        return shares

    @cached_property
    def unit(self) -> Int:
        """(N,) the independent unit of each row, 0 to G-1: its prompt, or the cluster of that."""
        return self.prompt if self.over is None else self.over.code[self.prompt]

    def hits(self, called: NDArray[np.bool_]) -> Float:
        """(S,) labelled rows that a person calls so."""
        return self._counts(self.labelled & called)

    def _counts(self, rows: NDArray[np.bool_]) -> Float:
        counts: Float = np.bincount(self.stratum, rows, int(self.stratum.max()) + 1).astype(np.float64)
        return counts


def corrected_share(sample: Sample, called: NDArray[np.bool_], level: float = 0.95) -> Estimate:
    """Share of answers that a person would call so, with a two-sided interval over prompts.

    The interval inverts the score test of sum_l W_l p_l (Miettinen and Nurminen, 1985; for weighted sums of
    proportions Decrouez and Robinson, 2012, "Confidence intervals for the weighted sum of two independent
    binomial proportions"): at each value tried, the strata's proportions are those that would be likeliest
    if it were the true one. So it keeps its width where a stratum's sample shows no error at all, and says
    more of strata that were sampled thinly. The variance of the strata's own shares is in it: it is an
    interval over prompts, not over the answers of this run only. Of one stratum all labelled it is Wilson's.

    Rows of one prompt (or cluster) hang together: the variance is then multiplied by what sums over units
    show, at least by 1; where fewer than `FEW_CLUSTERS` labelled units hold a hit, or a miss, by what it
    would be if rows of a unit were all alike; with t in the normal's place.

    Parameters
    ----------
    called : (N,) whether a person calls the row so; read where `sample.labelled`.

    Cost: some hundred evaluations of S numbers.
    """
    ones = np.ones(len(sample.sizes))
    value = float(sample.shares @ (sample.hits(called) / sample.drawn))
    return _score(sample, called, value, lambda rate: (ones, rate * ones), level)


def recall(
    sample: Sample, called: NDArray[np.bool_], said: NDArray[np.bool_], level: float = 0.95
) -> Estimate | None:
    """Share of the answers that a person would call so of which the judge says it; interval as above.

    No exact one is known for such a ratio. All that is known of it comes from the h rows that a person calls
    so: where they are few the normal would cover too seldom (.85 at two or three), so Student's t takes its
    place, with h - 1 degrees; one row alone leaves nearly everything open.

    The sensitivity of a label; with everything reversed its specificity. None where nobody called any row so.

    Parameters
    ----------
    called : (N,) whether a person calls the row so; read where `sample.labelled`.
    said : (S,) whether the judge says it of the rows of each stratum.
    """
    share = sample.shares * sample.hits(called) / sample.drawn
    if not share.any():
        return None
    told = said.astype(np.float64)
    value = float(min(share @ told / share.sum(), 1.0))
    rows = int(np.sum(sample.labelled & called))
    few = float(t_quantile((1 + level) / 2, max(rows - 1, 1)))
    return _score(sample, called, value, lambda rate: (told - rate, 0 * told), level, few)


Equation = Callable[[float], tuple[Float, Float]]
"""b and c (S,) of a value, which is the true one where sum_l W_l (b_l p_l - c_l) = 0."""


def _score(
    sample: Sample,
    called: NDArray[np.bool_],
    value: float,
    equation: Equation,
    level: float,
    least: float = 0.0,
) -> Estimate:
    """The interval of all values that the score test lets stand, by a quantile of at least `least`."""
    from scipy.optimize import brentq  # slow to import, and most reports do without

    W, m, x, n = sample.shares, sample.drawn, sample.hits(called), len(sample.stratum)
    within, between, quantile = _design(sample, called, *equation(value), level)
    quantile = max(quantile, least)

    def variance(b: Float, c: Float, p: Float) -> float:
        d = b * p - c
        second = float(np.sum((W * b) ** 2 * p * (1 - p) / m))
        return within * second + between * float(W @ d**2 - (W @ d) ** 2) / n

    def excess(rate: float) -> float:
        b, c = equation(rate)
        p = _likeliest(x, m, W * b, float(W @ c))
        return float(W @ (b * x / m - c)) ** 2 - quantile**2 * variance(b, c, p)

    def end(bound: float) -> float:
        start = value + STEP * np.sign(bound - value)
        if abs(bound - value) <= STEP or excess(bound) <= 0:
            return bound
        return float(brentq(excess, start, bound, xtol=1e-8)) if excess(start) < 0 else value

    b, c = equation(value)
    scale = float(np.sum(W * x / m)) if np.any(b != 1) else 1.0
    se = float(np.sqrt(variance(b, c, x / m))) / scale
    n_prompts = int(sample.prompt.max()) + 1
    clusters = None if sample.over is None else len(sample.over)
    return Estimate(value, end(0.0), end(1.0), se, level, METHOD, n_prompts, clusters)


def _likeliest(x: Float, m: Float, a: Float, total: float) -> Float:
    """Proportions (S,) likeliest for x of m, among those with sum_l a_l p_l = total.

    With a multiplier k for the condition each solves x / p - (m - x) / (1 - p) = k a, a quadratic; the sum
    falls as k rises.
    """
    from scipy.optimize import brentq  # slow to import, and most reports do without

    largest = float(np.abs(a).max())
    unit = float(m.sum()) / largest if largest > 0 else 1.0

    def at(u: float) -> Float:
        k = a * unit * u / (1 - u * u)
        both = m + k
        root = np.sqrt(np.maximum((m - k) ** 2 + 4 * k * (m - x), 0.0))
        # Of the two ways to write the root of the quadratic, the one that loses no digits.
        positive = both > 0
        p: Float = np.where(positive, 2 * x, both - root) / np.where(positive, both + root, 2 * k)
        return np.minimum(np.maximum(p, 0.0), 1.0)

    def over(u: float) -> float:
        return float(a @ at(u)) - total

    edge = 1 - 1e-9
    if over(-edge) <= 0:
        return at(-edge)
    if over(edge) >= 0:
        return at(edge)
    return at(float(brentq(over, -edge, edge, xtol=1e-12)))


def _design(
    sample: Sample, called: NDArray[np.bool_], b: Float, c: Float, level: float
) -> tuple[float, float, float]:
    """What the variances within and between strata are multiplied by where rows of a unit hang together, and
    the quantile to take."""
    unit, labelled, n = sample.unit, sample.labelled, len(sample.stratum)
    normal = float(normal_quantile((1 + level) / 2))
    rows = np.bincount(unit)
    if rows.max() == 1:
        return 1.0, 1.0, normal
    drawn = np.bincount(unit, labelled)
    G = int(np.sum(drawn > 0))
    quantile = float(t_quantile((1 + level) / 2, max(G - 1, 1)))
    hit = np.bincount(unit, labelled & called)
    if min(np.sum(hit > 0), np.sum(hit < drawn)) < FEW_CLUSTERS:
        return float(drawn @ drawn / drawn.sum()), float(rows @ rows / n), quantile
    p = (sample.hits(called) / sample.drawn)[sample.stratum]
    b, c, W, m = (of[sample.stratum] for of in (b, c, sample.shares, sample.drawn))
    influence = np.where(labelled, W * b * (called - p) / m, 0.0) + (b * p - c) / n
    sums, alone = np.bincount(unit, influence), float(influence @ influence)
    effect = max(1.0, len(sums) / max(len(sums) - 1, 1) * float(sums @ sums) / alone) if alone > 0 else 1.0
    return effect, effect, quantile
