"""The earliest layer that decides: from where on the mode can be read nearly as well as anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from margin.short import Short
from margin.stats.clusters import Clusters
from margin.stats.estimate import Estimate
from margin.stats.intervals import ROUNDING, difference, proportion, standard_error
from margin.stats.quantiles import normal_tail

SHARE_OF_BEST = 0.9
"""Share of the best layer's accuracy above chance that a layer must reach to decide."""


@dataclass(frozen=True, eq=False)
class Deciding(Short):
    """The earliest layer whose probe is shown to reach a share of the best one's accuracy above chance."""

    layer: int | None
    """First layer whose lower bound reaches it; None where none is shown to, or none is above chance."""
    earliest: int | None
    """First layer that may reach it (by the upper bounds): (earliest, layer) is the interval."""
    best: int
    """Layer of the highest accuracy; the first of equals."""
    share: float
    chance: float
    level: float
    """Probability with which the bounds of all layers hold at once."""
    layers: tuple[int, ...]
    accuracy: tuple[Estimate, ...]
    """Accuracy of each layer, with an interval that holds for all layers at once."""
    excess: tuple[Estimate, ...]
    """Accuracy above chance less the share of the best layer's, with the same."""

    @property
    def rule(self) -> str:
        """The rule in a sentence."""
        return (
            f"the first layer whose accuracy above chance ({self.chance:.3f}) is shown to be at least "
            f"{self.share:.0%} of that of the best layer ({self.best}); {self.level:.0%} bounds for all "
            "layers at once, bootstrap over prompts"
        )


def earliest_deciding(
    layers: Sequence[int],
    correct: NDArray[np.float64],
    influence: NDArray[np.float64],
    chance: float,
    rng: np.random.Generator,
    *,
    share: float = SHARE_OF_BEST,
    level: float = 0.95,
    replicates: int = 2000,
    over: Clusters | None = None,
) -> Deciding:
    """Find it from out-of-fold predictions.

    How far the layers' numbers stray together is drawn by resampling prompts; the level of a single
    interval that makes all hold at once is then that of the largest deviation (max-t). Intervals at that
    level are Clopper-Pearson's and MOVER's (`probes.intervals`), which hold up where a layer is perfect.
    Which layer is best is taken as given; where the wrong one of near equals is, the rule moves by less
    than its bounds. (To find the layer anew in every resample would not do: where the curve is flat, small
    deviations move it far.)

    Parameters
    ----------
    layers : L layers, ascending.
    correct : (L,) accuracy of each.
    influence : (n, L) influences of prompts on them.
    chance : accuracy of guessing, 1/k.
    share : in (0, 1].
    over : the clusters of the prompts, which are then resampled.

    Cost: replicates x n x L.

    Example
    -------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> correct = rng.random((200, 3)) < [0.5, 0.95, 0.97]  # of 200 prompts, by layer
    >>> influence = (correct - correct.mean(axis=0)) / 200
    >>> found = earliest_deciding([0, 4, 8], correct.mean(axis=0), influence, chance=0.5, rng=rng)
    >>> found.layer
    4
    """
    of_prompt = influence
    influence = of_prompt if over is None else over.sums(of_prompt)
    n = len(influence)
    best = int(np.argmax(correct))
    of_excess = influence - share * influence[:, [best]]
    both = np.column_stack([influence, of_excess])
    se = np.array([standard_error(column) for column in both.T])
    draws = rng.multinomial(n, np.full(n, 1 / n), size=replicates)
    varies = se > ROUNDING
    largest = (np.abs(draws @ both[:, varies]) / se[varies]).max(axis=1, initial=0.0)
    # One interval by itself has the nominal level: several together never less.
    single = float(np.clip(1 - 2 * normal_tail(np.quantile(largest, level)), level, 1 - 1e-9))
    accuracies = [
        proportion(float(value), column, single, over=over)
        for value, column in zip(correct, of_prompt.T, strict=True)
    ]
    excesses = [
        _excess(
            accuracy, accuracies[best], of_prompt[:, i], of_prompt[:, best], chance, share, i == best, over
        )
        for i, accuracy in enumerate(accuracies)
    ]
    above = (accuracies[best].low or 0.0) > chance
    reached = [layer for layer, e in zip(layers, excesses, strict=True) if above and (e.low or 0.0) >= 0]
    may = [layer for layer, e in zip(layers, excesses, strict=True) if above and (e.high or 0.0) >= 0]
    return Deciding(
        layer=reached[0] if reached else None,
        earliest=may[0] if may else None,
        best=layers[best],
        share=share,
        chance=chance,
        level=level,
        layers=tuple(layers),
        accuracy=tuple(accuracies),
        excess=tuple(excesses),
    )


def _excess(
    accuracy: Estimate,
    best: Estimate,
    of_layer: NDArray[np.float64],
    of_best: NDArray[np.float64],
    chance: float,
    share: float,
    is_best: bool,
    over: Clusters | None,
) -> Estimate:
    """(accuracy - chance) - share x (best - chance), with an interval at the level of `accuracy`."""
    if is_best:
        keep = 1 - share
        ends = (accuracy.estimate, accuracy.low, accuracy.high)
        value, low, high = (keep * ((end or 0.0) - chance) for end in ends)
        se = keep * (accuracy.se or 0.0)
        return replace(accuracy, estimate=value, low=low, high=high, se=se)
    found = difference(accuracy, best, of_layer, of_best, share, over)
    fixed = (1 - share) * chance
    return replace(
        found,
        estimate=found.estimate - fixed,
        low=(found.low or 0.0) - fixed,
        high=(found.high or 0.0) - fixed,
    )
