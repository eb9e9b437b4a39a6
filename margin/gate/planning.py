"""How many prompts a run needs to settle a claim that is open."""

from __future__ import annotations

from math import ceil

import numpy as np

from margin.analysis.slices import MIN_PROMPTS
from margin.gate.claims import POWER, SHARES, Claim
from margin.gate.evidence import ALPHA
from margin.stats.power import prompts_needed
from margin.stats.quantiles import binomial_below, binomial_quantile

MOST_LEAK_PROMPTS = 10**6


def prompts_to_settle(claim: Claim, n_run: int, share: float, n_open: int) -> int | None:
    """Prompts a run needs to settle an open claim; None where no number would.

    Planned as if what was seen were the truth, but for drops never as if it lay further from the limit than
    no change does: so the number suffices for a checkpoint as good as the baseline, and for one down by twice
    what is allowed. All `n_open` claims are settled together with probability at least `POWER`; a slice keeps
    its share of the run's `n_run` prompts. To show that a claim is broken takes Holm's first step, where it
    has a `share` of the level. Independent units are counted, as many to a prompt as now. More prompts alone
    need not settle what lies above decoys, since sets differ too, nor what prompts are missing from.
    """
    if claim.indicative or claim.missing or claim.kind in ("above", "exposure"):
        return None
    target = 1 - (1 - POWER) / n_open
    value, n, units = claim.value, claim.value.n_prompts, claim.units
    if claim.kind in SHARES:
        needed = _leak_prompts(value.estimate, claim.limit, ALPHA * share, target)
        return None if needed is None else ceil(needed * n / units)
    if value.se is None:
        return ceil(MIN_PROMPTS * n_run / units)
    distance = abs(value.estimate - claim.limit)
    if claim.kind == "drop":
        distance = min(distance, -claim.limit)
    alpha = ALPHA if value.estimate >= claim.limit else ALPHA * share
    needed = prompts_needed(distance, value.se * np.sqrt(units), alpha, target)
    return None if needed is None else ceil(needed * n_run / units)


def _leak_prompts(rate: float, limit: float, alpha_broken: float, target: float) -> int | None:
    """Prompts at which a true leak rate is told from the limit with probability `target`."""
    n = np.unique(np.geomspace(2, MOST_LEAK_PROMPTS, 5000).astype(np.int64))
    if rate <= limit:
        most = binomial_quantile(ALPHA, n, limit) - 1  # the most leaks that still show a rate below the limit
        power = binomial_below(most, n, rate)
    else:
        least = binomial_quantile(1 - alpha_broken, n, limit) + 1
        power = 1 - binomial_below(least - 1, n, rate)
    enough = n[power >= target]
    return int(enough[0]) if len(enough) else None
