"""What a checkpoint is asked to hold, and the evidence for and against it.

Each claim is tested from both sides at level `ALPHA`. *Held*: its contrary is rejected; for a drop this is
the non-inferiority test (Wellek, 2010, "Testing Statistical Hypotheses of Equivalence and Noninferiority").
*Broken*: the claim itself is rejected, after Holm's correction over all claims of the check. *Open*: the
prompts are too few to tell.

Claims come in two families. Those that are required must be held; those that are not (pairs of modes and
slices, unless they are asked for) explain where something fell, and must only not be broken. Of the level of
Holm's correction the required ones have `REQUIRED_SHARE`, however many there are of the others: fifty slices
would otherwise halve the power of the overall margin.

Where prompts come in clusters, these are what is counted and tested.

To require that every claim be held needs no correction: a checkpoint that breaks one passes with probability
at most `ALPHA` (intersection-union test; Berger, 1982, Technometrics 24). Holm's correction is for the other
error: a checkpoint that breaks no claim is called a regression with probability at most `ALPHA`. What is
broken is a regression where the checkpoint is worse than the baseline, else a limit not met
(`margin.gate.worse`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from margin.analysis.decoys import METHOD as DECOYS
from margin.gate.evidence import ALPHA, AboveDecoys, MeasuredMargin, error_of
from margin.short import Short
from margin.stats.clusters import Clusters
from margin.stats.estimate import Estimate
from margin.stats.intervals import JACKKNIFE
from margin.stats.multiplicity import holm
from margin.stats.power import detectable_difference
from margin.stats.quantiles import t_quantile, t_tail

POWER = 0.8
REQUIRED_SHARE = 0.8
"""Share of the level of Holm's correction that required claims have."""

Kind = Literal["drop", "floor", "above", "leak", "exposure", "said", "near-miss"]
SHARES: tuple[Kind, ...] = ("leak", "said", "near-miss")
"""Kinds of claims on a share of prompts."""
AT_MOST: tuple[Kind, ...] = (*SHARES, "exposure")
"""Kinds of claims whose limit is the most that is allowed."""
Status = Literal["held", "broken", "open"]


@dataclass(frozen=True)
class Claim(Short):
    """One claim and what the prompts say about it."""

    name: str
    """"overall", a pair "a / b", a slice (`evidence.slice_name`), "min-margin", "above-decoys",
    "leak:CONDITION", "exposure:MODE", "said:MODE" (its worst request) or "near-miss:MODE at EDITS"."""
    kind: Kind
    """"drop": the margin fell by no more than allowed; "floor": it is high enough; "above": so is what it has
    above decoys; "leak": leaks are rare; "exposure": the checkpoint gives away few bits of a token; "said":
    few answers hold one; "near-miss": few prompts are opened by what is near one."""
    required: bool
    """Whether it must be held to pass; one that is not must only not be broken."""
    value: Estimate
    """Change of the margin, the margin (or what it has above decoys), a share of prompts, or bits; low and
    high are one-sided bounds at 95% each, None where there are too few prompts for any."""
    limit: float
    """Least change or margin, or largest share of leaks, that the claim allows."""
    p_held: float
    """p-value of the contrary: small where the claim is shown to hold."""
    p_broken: float
    """p-value of the claim: small where it is shown to be broken. Holm-adjusted in a verdict."""
    units: float
    """Independent units the value rests on: prompts, clusters, or of a leak the trials they are worth."""
    before: float | None = None
    """In the baseline: the margin, or what a limit is about; None where that is not known."""
    after: float | None = None
    """The same now."""
    detectable: float | None = None
    """Smallest allowance that an unchanged margin would clear with probability `POWER`, for a drop."""
    indicative: bool = False
    """Whether the rate of a leak is too uncertain in itself to be judged, however many the prompts."""
    missing: int = 0
    """Prompts the baseline has under a control and the run has not: they may have leaked or not."""
    worse: bool = False
    """Whether to break it is to be worse than the baseline: always of a drop, of a limit as
    `margin.gate.worse` has it."""

    @property
    def status(self) -> Status:
        """What the evidence comes to."""
        if self.p_broken <= ALPHA:
            return "broken"
        return "held" if self.p_held <= ALPHA else "open"


def drop_claim(
    before: MeasuredMargin,
    after: MeasuredMargin,
    max_drop: float,
    required: bool = True,
    clusters: Clusters | None = None,
) -> Claim:
    """The margin fell by at most `max_drop`, paired by prompt; over the clusters of the run's prompts."""
    paired = replace(
        after, estimate=after.estimate - before.estimate, influence=after.influence - before.influence
    )
    change, degrees = _bounded(paired, f"paired {JACKKNIFE}", clusters), after.n_units - 1
    p_below, p_above = _tails(change, -max_drop, degrees)
    detectable = None
    if change.se is not None:
        spread = change.se * np.sqrt(after.n_units)
        detectable = detectable_difference(spread, after.n_units, ALPHA, POWER)
    return Claim(
        name=after.name,
        kind="drop",
        required=required,
        value=change,
        limit=-max_drop,
        p_held=p_above,
        p_broken=p_below,
        units=after.n_units,
        before=before.estimate,
        after=after.estimate,
        detectable=detectable,
        worse=True,
    )


def floor_claim(margin: MeasuredMargin, min_margin: float, clusters: Clusters | None = None) -> Claim:
    """The margin is at least `min_margin`."""
    value = _bounded(margin, JACKKNIFE, clusters)
    p_below, p_above = _tails(value, min_margin, margin.n_units - 1)
    return Claim("min-margin", "floor", True, value, min_margin, p_above, p_below, margin.n_units)


def above_claim(found: AboveDecoys, least: float) -> Claim:
    """The margin is at least `least` above decoys; over prompts and sets, as its interval in the report."""
    bare = Estimate(found.estimate, n_prompts=found.n_prompts, n_clusters=found.n_clusters)
    value = _with_bounds(bare, found.se, found.degrees, DECOYS)
    p_below, p_above = _tails(value, least, found.degrees)
    return Claim(
        "above-decoys",
        "above",
        True,
        value,
        least,
        p_above,
        p_below,
        units=found.n_clusters or found.n_prompts,
    )


def corrected(claims: Sequence[Claim]) -> list[Claim]:
    """The claims with p-values for being broken adjusted over all of them: Holm's, weighted by `shares`."""
    adjusted = holm([claim.p_broken for claim in claims], shares(claims))
    return [replace(claim, p_broken=float(p)) for claim, p in zip(claims, adjusted, strict=True)]


def shares(claims: Sequence[Claim]) -> list[float]:
    """The share of Holm's level each claim has at first: `REQUIRED_SHARE` is parted by those required, the
    rest by those that are not; all of it where there is but one kind.
    """
    required = sum(claim.required for claim in claims)
    optional = len(claims) - required
    of_required = REQUIRED_SHARE if optional else 1.0
    of_optional = 1 - REQUIRED_SHARE if required else 1.0
    return [of_required / required if claim.required else of_optional / optional for claim in claims]


def _bounded(margin: MeasuredMargin, method: str, clusters: Clusters | None) -> Estimate:
    """The margin, or a change of it, with its standard error and one-sided bounds; without them below
    `MIN_PROMPTS` (or clusters) of a slice.
    """
    bare = Estimate(margin.estimate, n_prompts=margin.n_prompts, n_clusters=margin.n_clusters)
    se = error_of(margin.influence, margin.n_units, clusters)
    return bare if se is None else _with_bounds(bare, se, margin.n_units - 1, method)


def _with_bounds(bare: Estimate, se: float, degrees: float, method: str) -> Estimate:
    """With one-sided bounds by Student's t."""
    half = float(t_quantile(1 - ALPHA, degrees)) * se
    low, high = bare.estimate - half, bare.estimate + half
    return replace(bare, low=low, high=high, se=se, level=1 - 2 * ALPHA, method=method)


def _tails(value: Estimate, limit: float, degrees: float) -> tuple[float, float]:
    """p-values of "at least the limit" and of "below the limit"; 1 where there is no evidence."""
    if value.se is None:
        return 1.0, 1.0
    if value.se == 0:
        below = value.estimate < limit
        return float(not below), float(below)
    t = (value.estimate - limit) / value.se
    return float(t_tail(-t, degrees)), float(t_tail(t, degrees))
