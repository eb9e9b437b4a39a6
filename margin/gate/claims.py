"""What a checkpoint is asked to hold, and the evidence for and against it.

Each claim is tested from both sides at level `ALPHA`. *Held*: its contrary is rejected; for a drop this is
the non-inferiority test (Wellek, 2010, "Testing Statistical Hypotheses of Equivalence and Noninferiority").
*Broken*: the claim itself is rejected, after Holm's correction over all claims of the check. *Open*: the
prompts are too few to tell.

To require that every claim be held needs no correction: a checkpoint that breaks one passes with probability
at most `ALPHA` (intersection-union test; Berger, 1982, Technometrics 24). Holm's correction is for the other
error: a checkpoint that breaks no claim is called a regression with probability at most `ALPHA`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Literal

import numpy as np
from scipy import stats

from margin.analysis.slices import MIN_PROMPTS
from margin.gate.measurement import Leak, MeasuredMargin
from margin.stats.estimate import Estimate
from margin.stats.intervals import EXACT, JACKKNIFE, clopper_pearson
from margin.stats.power import detectable_difference, prompts_needed

ALPHA = 0.05
POWER = 0.8
MOST_LEAK_PROMPTS = 10**6

Kind = Literal["drop", "floor", "leak", "exposure", "said", "near-miss"]
SHARES: tuple[Kind, ...] = ("leak", "said", "near-miss")
"""Kinds of claims on a share of prompts."""
Status = Literal["held", "broken", "open"]


@dataclass(frozen=True)
class Claim:
    """One claim and what the prompts say about it."""

    name: str
    """"overall", a pair "a / b", a slice "column=value", "min-margin", "leak:CONDITION", "exposure:MODE",
    "said:CONDITION under MODE" or "near-miss:MODE at EDITS"."""
    kind: Kind
    """"drop": the margin fell by no more than allowed; "floor": it is high enough; "leak": leaks are rare;
    "exposure": the checkpoint gives away few bits of a token; "said": few answers hold one; "near-miss": few
    prompts are opened by what is near one."""
    required: bool
    """Whether it must be held to pass; one that is not must only not be broken."""
    value: Estimate
    """Change of the margin, the margin, a share of prompts, or bits; low and high are one-sided bounds
    at 95% each, None where there are too few prompts for any."""
    limit: float
    """Least change or margin, or largest share of leaks, that the claim allows."""
    p_held: float
    """p-value of the contrary: small where the claim is shown to hold."""
    p_broken: float
    """p-value of the claim: small where it is shown to be broken. Holm-adjusted in a verdict."""
    before: float | None = None
    """The margin in the baseline, for a drop."""
    after: float | None = None
    """The margin now, for a drop."""
    detectable: float | None = None
    """Smallest allowance that an unchanged margin would clear with probability `POWER`, for a drop."""
    indicative: bool = False
    """Whether the rate of a leak is too uncertain in itself to be judged, however many the prompts."""

    @property
    def status(self) -> Status:
        """What the evidence comes to."""
        if self.p_broken <= ALPHA:
            return "broken"
        return "held" if self.p_held <= ALPHA else "open"


def drop_claim(
    before: MeasuredMargin, after: MeasuredMargin, max_drop: float, required: bool = True
) -> Claim:
    """The margin fell by at most `max_drop`, paired by prompt."""
    influence = after.influence - before.influence
    change = _bounded(after.estimate - before.estimate, influence, after.n_prompts, f"paired {JACKKNIFE}")
    p_below, p_above = _tails(change, -max_drop)
    detectable = None
    if change.se is not None:
        detectable = detectable_difference(
            change.se * np.sqrt(change.n_prompts), change.n_prompts, ALPHA, POWER
        )
    return Claim(
        name=after.name,
        kind="drop",
        required=required,
        value=change,
        limit=-max_drop,
        p_held=p_above,
        p_broken=p_below,
        before=before.estimate,
        after=after.estimate,
        detectable=detectable,
    )


def floor_claim(margin: MeasuredMargin, min_margin: float) -> Claim:
    """The margin is at least `min_margin`."""
    value = _bounded(margin.estimate, margin.influence, margin.n_prompts, JACKKNIFE)
    p_below, p_above = _tails(value, min_margin)
    return Claim("min-margin", "floor", True, value, min_margin, p_held=p_above, p_broken=p_below)


def leak_claim(leak: Leak, max_leak: float, required: bool = True) -> Claim:
    """At most a share `max_leak` of prompts leaks; exact bounds (Clopper and Pearson, 1934).

    A rate that is indicative only is shown, and leaves the claim open.
    """
    k, n = leak.n_leaks, leak.n_prompts
    low, high = clopper_pearson(k, n, 1 - 2 * ALPHA)
    value = Estimate(
        estimate=k / n,
        low=low,
        high=high,
        level=1 - 2 * ALPHA,
        method=EXACT,
        n_prompts=n,
    )
    p_held = p_broken = 1.0
    if not leak.indicative:
        p_held = float(stats.binom.cdf(k, n, max_leak)) if max_leak < 1 else 0.0  # at most all: always so
        p_broken = float(stats.binom.sf(k - 1, n, max_leak))
    return Claim(
        f"leak:{leak.condition}",
        "leak",
        required,
        value,
        max_leak,
        p_held,
        p_broken,
        indicative=leak.indicative,
    )


def prompts_to_settle(claim: Claim, n_run: int, n_claims: int, n_open: int) -> int | None:
    """Prompts a run needs to settle an open claim; None where no number would.

    Planned as if what was seen were the truth, but for drops never as if it lay further from the limit than
    no change does: so the number suffices for a checkpoint as good as the baseline, and for one down by twice
    what is allowed. All `n_open` claims are settled together with probability at least `POWER`; a slice keeps
    its share of the run's `n_run` prompts. To show that one of `n_claims` is broken takes Holm's first step.
    """
    if claim.indicative or claim.kind == "exposure":
        return None
    target = 1 - (1 - POWER) / n_open
    value, n = claim.value, claim.value.n_prompts
    if claim.kind in SHARES:
        return _leak_prompts(value.estimate, claim.limit, ALPHA / n_claims, target)
    if value.se is None:
        return ceil(MIN_PROMPTS * n_run / n)
    distance = abs(value.estimate - claim.limit)
    if claim.kind == "drop":
        distance = min(distance, -claim.limit)
    alpha = ALPHA if value.estimate >= claim.limit else ALPHA / n_claims
    needed = prompts_needed(distance, value.se * np.sqrt(n), alpha, target)
    return None if needed is None else ceil(needed * n_run / n)


def _bounded(value: float, influence: np.ndarray, n_prompts: int, method: str) -> Estimate:
    """The value with its standard error and one-sided bounds; without them below `MIN_PROMPTS` of a slice.

    The correction for n and the degrees of freedom count the prompts the value is the mean of.
    """
    if n_prompts < min(MIN_PROMPTS, len(influence)):
        return Estimate(value, n_prompts=n_prompts)
    se = float(np.sqrt(n_prompts / (n_prompts - 1) * np.sum(influence**2)))
    half = float(stats.t.isf(ALPHA, n_prompts - 1)) * se
    return Estimate(value, value - half, value + half, se, 1 - 2 * ALPHA, method, n_prompts)


def _tails(value: Estimate, limit: float) -> tuple[float, float]:
    """p-values of "at least the limit" and of "below the limit"; 1 where there is no evidence."""
    if value.se is None:
        return 1.0, 1.0
    if value.se == 0:
        below = value.estimate < limit
        return float(not below), float(below)
    t = (value.estimate - limit) / value.se
    return float(stats.t.cdf(t, value.n_prompts - 1)), float(stats.t.sf(t, value.n_prompts - 1))


def _leak_prompts(rate: float, limit: float, alpha_broken: float, target: float) -> int | None:
    """Prompts at which a true leak rate is told from the limit with probability `target`."""
    n = np.unique(np.geomspace(2, MOST_LEAK_PROMPTS, 5000).astype(np.int64))
    if rate <= limit:
        most = stats.binom.ppf(ALPHA, n, limit) - 1  # the most leaks that still show a rate below the limit
        power = stats.binom.cdf(most, n, rate)
    else:
        least = stats.binom.isf(alpha_broken, n, limit) + 1
        power = stats.binom.sf(least - 1, n, rate)
    enough = n[power >= target]
    return int(enough[0]) if len(enough) else None
