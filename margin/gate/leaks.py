"""The claim that leaks are rare: exact, and over clusters at the level that it is tested at."""

from __future__ import annotations

from dataclasses import replace

from margin.gate.claims import Claim
from margin.gate.evidence import ALPHA, Leak
from margin.stats.estimate import Estimate
from margin.stats.intervals import EXACT, clopper_pearson
from margin.stats.quantiles import beta_below, normal_quantile, t_quantile

LEAST = 1e-12
"""p-values below which nothing more is told apart."""


def leak_claim(leak: Leak, max_leak: float, required: bool = True, missing: int = 0) -> Claim:
    """At most a share `max_leak` of prompts leaks; exact bounds (Clopper and Pearson, 1934).

    Prompts that are `missing`, as one whose thought did not end, may have leaked or not: to be held, the
    claim must hold if all of them leak, and to be broken, if none does.

    Under clusters the trials are what the prompts are worth, and need not be whole: the binomial's tails are
    then those of the beta distribution, which they equal where it is whole. What they are worth is less the
    stricter the level (`at_level`), so that Holm's correction, which asks for small p-values, may rely on
    them. A rate that is indicative only is shown, and leaves the claim open.
    """
    fewest = with_missing(leak, missing)
    trials = fewest.n_trials
    few, many = (leaks / fewest.n_prompts * trials for leaks in (leak.n_leaks, leak.n_leaks + missing))
    low, high = (clopper_pearson(leaks, trials, 1 - 2 * ALPHA)[end] for end, leaks in enumerate((few, many)))
    value = Estimate(leak.rate, low, high, None, 1 - 2 * ALPHA, EXACT, leak.n_prompts)
    p_held = p_broken = 1.0
    if not leak.indicative:
        p_broken, p_held = (
            binomial_tails(leaks, trials, max_leak)[tail] for tail, leaks in enumerate((few, many))
        )
        p_broken = at_level(fewest, max_leak, p_broken)
        if max_leak == 1:  # at most all: always so
            p_held = 0.0
    return Claim(
        f"leak:{leak.condition}",
        "leak",
        required,
        value,
        max_leak,
        p_held,
        p_broken,
        trials,
        indicative=leak.indicative,
        missing=missing,
    )


def with_missing(leak: Leak, missing: int) -> Leak:
    """With prompts more of which none leaks; they come in as many clusters, and are worth as much, each."""
    more = 1 + missing / leak.n_prompts
    clusters, trials = (None if each is None else each * more for each in (leak.clusters, leak.trials))
    return replace(leak, n_prompts=leak.n_prompts + missing, clusters=clusters, trials=trials)


def at_level(leak: Leak, max_leak: float, p_broken: float) -> float:
    """The p-value of at most `max_leak` where the trials are those of its own level.

    Trials under clusters hold the quantile of Student's t over the normal's at `ALPHA`
    (`margin.stats.intervals.effective_trials`); farther out t has the larger part. The p-value is then the
    level at which the bound touches the limit. Unchanged above `ALPHA`, and where trials are counted:
    prompts, or the effective clusters.
    """
    counted = leak.clusters is None or leak.trials is None or leak.trials == leak.clusters
    if counted or not LEAST < p_broken < ALPHA or leak.clusters is None or leak.clusters <= 2:
        return p_broken
    from scipy.optimize import brentq  # slow to import, and most checks do without

    degrees = leak.clusters - 1

    def wider(level: float) -> float:
        return float(t_quantile(1 - level, degrees) / normal_quantile(1 - level))

    def beyond(level: float) -> float:
        trials = leak.n_trials * (wider(ALPHA) / wider(level)) ** 2
        return binomial_tails(leak.rate * trials, trials, max_leak)[0] - level

    return float(brentq(beyond, p_broken, ALPHA, xtol=LEAST)) if beyond(p_broken) > 0 else p_broken


def binomial_tails(successes: float, trials: float, rate: float) -> tuple[float, float]:
    """P(X >= successes) and P(X <= successes) of a binomial whose trials need not be whole, by the beta."""
    failures = trials - successes
    at_least = float(beta_below(rate, successes, failures + 1)) if successes > 0 else 1.0
    at_most = float(beta_below(1 - rate, failures, successes + 1)) if failures > 0 else 1.0
    return at_least, at_most
