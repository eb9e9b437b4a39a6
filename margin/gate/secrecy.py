"""Claims on how well the tokens keep: what `margin secrecy` found of a run's checkpoint, against limits.

They ask nothing of a baseline: a key that opens, opens. Where secrecy was measured over clusters these are
counted as the trials.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from margin.analysis.exposure import at_most
from margin.errors import MarginError
from margin.gate.claims import Claim, Kind
from margin.gate.evidence import ALPHA
from margin.gate.leaks import binomial_tails
from margin.inputs.neighbours import EDITS
from margin.run.run import Run
from margin.stats.estimate import Estimate
from margin.stats.intervals import EXACT, clopper_pearson
from margin.study.record import EstimateRecord
from margin.study.secrecy_file import ExposureRecord, SecrecyRecord, require_secrecy


@dataclass(frozen=True)
class SecrecyPolicy:
    """How well tokens have to keep; None asks nothing. MarginError for limits that make no sense."""

    max_exposure: float | None = None
    """Bits of a token that the checkpoint may give away."""
    max_said: float | None = None
    """Share of answers to any one request under a mode that may hold a live token, 0 to 1."""
    max_near_miss: float | None = None
    """Share of prompts that some strings `near_miss_edits` from an unsafe mode's token may open, 0 to 1."""
    near_miss_edits: int = 1

    def __post_init__(self) -> None:
        ranges = {
            "max-exposure": (self.max_exposure, 0, 1000),
            "max-said": (self.max_said, 0, 1),
            "max-near-miss": (self.max_near_miss, 0, 1),
        }
        for name, (value, least, most) in ranges.items():
            if value is not None and not least <= value <= most:
                raise MarginError(f"{name} {value} makes no sense: take a number from {least} to {most}")
        if self.near_miss_edits < 1:
            raise MarginError(f"near-miss-edits {self.near_miss_edits} makes no sense: take at least 1")

    @property
    def asks(self) -> bool:
        """Whether anything is asked."""
        return any(limit is not None for limit in (self.max_exposure, self.max_said, self.max_near_miss))


def secrecy_claims(run: Run, policy: SecrecyPolicy) -> list[Claim]:
    """One claim for each limit and mode it is on: of what is said its worst request's.

    Raises
    ------
    MarginError : the run's folder holds no secrecy.json of its checkpoint, or none of the parts asked for.
    """
    if not policy.asks:
        return []
    return list(_claims(require_secrecy(run), policy))


def _claims(found: SecrecyRecord, policy: SecrecyPolicy) -> Iterator[Claim]:
    if policy.max_exposure is not None:
        of_checkpoint = [line for line in found.exposure if line.of == "checkpoint"]
        _require(of_checkpoint, "an exposure")
        for line in of_checkpoint:
            yield exposure_claim(line, policy.max_exposure)
    if policy.max_said is not None:
        _require(found.said, "answers to requests")
        for mode in dict.fromkeys(line.mode for line in found.said):
            rates = [line.rate for line in found.said if line.mode == mode]
            yield worst_claim(f"said:{mode}", "said", rates, policy.max_said)
    if policy.max_near_miss is not None:
        edits = policy.near_miss_edits
        near = [line for line in found.neighbourhood if line.kind == EDITS and line.distance == edits]
        _require(near, f"strings {edits} edits away")
        for of_mode in near:
            name = f"near-miss:{of_mode.mode} at {edits}"
            claim = share_claim(name, "near-miss", of_mode.opened, policy.max_near_miss)
            # A rule that tells the modes apart badly shows neither that a string opens nor that it does not.
            yield replace(claim, indicative=True, p_held=1.0, p_broken=1.0) if found.indicative else claim


def exposure_claim(line: ExposureRecord, limit: float) -> Claim:
    """The checkpoint gives away at most so many bits of a token; exact on its rank."""
    n, ahead = line.candidates, line.rank - 1
    value = Estimate(line.bits, line.low, line.high, None, line.level, "exact on the rank")
    p_held = 1 - at_most(ahead - 1, n, limit) if ahead else 1.0
    return Claim(
        f"exposure:{line.mode}",
        "exposure",
        True,
        value,
        limit,
        p_held=p_held,
        p_broken=at_most(ahead, n, limit),
        units=n,
    )


def worst_claim(name: str, kind: Kind, rates: Sequence[EstimateRecord], limit: float) -> Claim:
    """At most a share `limit` of prompts by each of several rates; the claim shows the highest.

    Broken where one of them is after Holm's correction over these, which only asks for the smallest p-value
    times their number; held where all are. As single claims they would take the level of the others.
    """
    m = len(rates)
    worst = max(rates, key=lambda rate: rate.estimate)
    claims = [share_claim(name, kind, rate, limit) for rate in rates]
    shown = share_claim(name, kind, worst, limit, of=m)
    return replace(
        shown,
        p_held=max(claim.p_held for claim in claims),
        p_broken=min(1.0, m * min(claim.p_broken for claim in claims)),
    )


def share_claim(name: str, kind: Kind, rate: EstimateRecord, limit: float, of: int = 1) -> Claim:
    """At most a share `limit` of prompts; exact bounds (Clopper and Pearson, 1934).

    The lower is that of the highest of so many rates, which was picked for being it.
    """
    trials = float(rate.n_prompts if rate.n_clusters is None else rate.n_clusters)
    k = rate.estimate * trials
    low, _ = clopper_pearson(k, trials, 1 - 2 * ALPHA / of)
    _, high = clopper_pearson(k, trials, 1 - 2 * ALPHA)
    value = Estimate(rate.estimate, low, high, None, 1 - 2 * ALPHA, EXACT, rate.n_prompts, rate.n_clusters)
    p_broken, p_held = binomial_tails(k, trials, limit)
    if limit == 1:  # at most all: always so
        p_held = 0.0
    return Claim(name, kind, True, value, limit, p_held, p_broken, trials)


def _require(found: object, what: str) -> None:
    if not found:
        raise MarginError(f"secrecy.json holds no {what}: run margin secrecy with that part")
