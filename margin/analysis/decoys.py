"""Is a number more than any tokens would give? Live tokens against sets of meaningless ones.

Tokens that mean nothing have a margin too: a model that has never seen them tells any strings apart. What
training made is what the live tokens have above sets of decoys, asked like modes of the same prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from margin.errors import MarginError
from margin.short import Short
from margin.stats.clusters import Clusters
from margin.stats.estimate import Estimate
from margin.stats.intervals import jackknife_variance
from margin.stats.quantiles import t_quantile
from margin.stats.satterthwaite import satterthwaite

METHOD = "paired over prompts, with the variance between decoy sets, Satterthwaite"


@dataclass(frozen=True, eq=False)
class AboveDecoys(Short):
    """One number of the live tokens beside the same number of each decoy set."""

    live: float
    decoys: tuple[float, ...]
    """The number of each set."""
    rank_p: float
    """(1 + #{sets at least as far apart}) / (sets + 1): how surprising the live one would be as one more
    set."""
    above: Estimate
    """Live less the mean over sets, with an interval over prompts and sets; none from a single set, or where
    the number has no influences. Its influence is that of prompts alone."""
    degrees: float | None = None
    """Degrees of freedom of the interval; None without one."""

    @property
    def is_more(self) -> bool:
        """Whether the interval lies above 0: more than any tokens give."""
        return self.above.low is not None and self.above.low > 0


def above_decoys(
    live: Estimate,
    decoys: Sequence[Estimate],
    level: float = 0.95,
    over: Clusters | None = None,
    smaller: bool = False,
) -> AboveDecoys:
    """Set a number of the live tokens against those of M sets of decoys, on the same prompts.

    Parameters
    ----------
    live : the number, with the influence (n,) of each prompt.
    decoys : the number of each set, prompts in the same order.
    over : clusters of the prompts.
    smaller : whether a smaller number says that tokens stand farther apart; the rank then counts the sets
        that are at most as large.

    The interval is for what training made: without it the live tokens would be one more set, drawn like the
    others. Its variance has two parts. That of prompts comes from influences paired by prompt: n/(n-1) times
    the sum of (U_live - mean U_m)^2. That of sets is s^2 (1 + 1/M), with s^2 the variance between sets: of
    one more set, and of the mean of M. (s^2 / M alone would be for the live tokens less the average set, and
    calls an untrained model's tokens better or worse than others.) It still holds a little of the first part,
    and so errs to the safe side. Degrees of freedom follow Satterthwaite (1946), "An approximate distribution
    of estimates of variance components", from n - 1 (or G - 1 clusters) and M - 1.

    Raises
    ------
    MarginError : no set.
    """
    if not decoys:
        raise MarginError("no decoy set to set the live tokens against: collect with --decoys 5")
    values = np.array([decoy.estimate for decoy in decoys])
    as_far = values <= live.estimate if smaller else values >= live.estimate
    rank_p = float((1 + np.sum(as_far)) / (len(values) + 1))
    difference = float(live.estimate - values.mean())
    degrees: float | None = None
    above = replace(
        live, estimate=difference, low=None, high=None, se=None, level=None, method="none", influence=None
    )
    known = [each.influence for each in decoys if each.influence is not None]
    if live.influence is not None and len(known) == len(values) > 1:
        paired = live.influence - np.mean(known, axis=0)
        U = paired if over is None else over.sums(paired)
        of_prompts, of_sets = float(jackknife_variance(U)), float(values.var(ddof=1) * (1 + 1 / len(values)))
        se, degrees = satterthwaite([(of_prompts, len(U) - 1), (of_sets, len(values) - 1)])
        half = float(t_quantile((1 + level) / 2, degrees)) * se
        low, high = difference - half, difference + half
        above = replace(above, low=low, high=high, se=se, level=level, method=METHOD, influence=paired)
    return AboveDecoys(live.estimate, tuple(values.tolist()), rank_p, above, degrees)
