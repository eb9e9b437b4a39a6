"""The gate: a run against a baseline, under a policy, comes to a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from margin.analysis.metrics import Distance
from margin.analysis.slices import MIN_PROMPTS
from margin.arguments import named, require_path
from margin.errors import IncomparableError, MarginError
from margin.gate.baseline import read_baseline
from margin.gate.claims import (
    Claim,
    above_claim,
    corrected,
    drop_claim,
    floor_claim,
    shares,
)
from margin.gate.comparable import require_comparable
from margin.gate.evidence import Measurement
from margin.gate.leaks import leak_claim
from margin.gate.limits import AUTO, drop_limit, leak_limit
from margin.gate.measurement import measure, prompt_changes
from margin.gate.planning import prompts_to_settle
from margin.gate.policy import Policy
from margin.gate.secrecy import secrecy_claims
from margin.gate.verdict import Measured, Outcome, Verdict
from margin.gate.worse import compared
from margin.run.run import Run, opened
from margin.study.spaces import space_names
from margin.text import shown

NAMED = 6
"""Claims its reason names."""


@named
def check(
    run: Run | str | Path,
    baseline: Measurement | str | Path,
    policy: Policy | None = None,
    space: str | None = None,
    distance: Distance | None = None,
    cluster: str | None = None,
) -> Verdict:
    """Judge a run against a baseline.

    Parameters
    ----------
    run, baseline : the run and what it must not fall below; opened, or their paths.
    policy : the limits; those of `Policy()` unless given.
    space, distance : what the margins are to be measured in, where that must not depend on the baseline; as
        the baseline was unless given.
    cluster : column of the prompts that names what hangs together, likewise; influences of a baseline are by
        its clusters, so another one is incomparable.

    Raises
    ------
    IncomparableError : they differ in what was asked or how it was measured; each difference is named.
    MarginError : a run or baseline that is not whole, a slice column the run does not have, no secrecy.json
        where the policy asks how well the tokens keep.

    Example
    -------
    >>> import margin
    >>> from margin.gate.measurement import measure
    >>> before = measure(margin.open_run("demo-run"))
    >>> verdict = margin.check("demo-run", before, margin.Policy(max_leak=0.2))
    >>> verdict.outcome, verdict.reason
    ('pass', 'every claim is shown to hold')
    """
    if not (policy is None or isinstance(policy, Policy)):
        raise MarginError(f"policy must be a Policy, got {type(policy).__name__}")
    if not isinstance(baseline, Measurement):
        require_path(baseline, "baseline", " or a Measurement")
    run = opened(run)
    before = baseline if isinstance(baseline, Measurement) else read_baseline(Path(baseline))
    if space is None and before.space not in space_names(run):
        raise IncomparableError(
            f"the baseline was measured in {shown(before.space)}, {run.path} has "
            f"{', '.join(space_names(run))}: collect those layers, or write a new baseline"
        )
    if cluster is None and before.cluster is not None and before.cluster not in run.prompts:
        raise IncomparableError(
            f"the baseline has clusters by {shown(before.cluster)}, no column of the prompts of {run.path}: "
            "collect with the same columns in the prompt file, or write a new baseline"
        )
    after = measure(
        run,
        before.space if space is None else space,
        before.distance if distance is None else distance,
        before.cluster if cluster is None else cluster,
    )
    policy = policy or Policy()
    return decide(before, after, policy, secrecy_claims(run, policy.secrecy))


def decide(before: Measurement, after: Measurement, policy: Policy, others: Sequence[Claim] = ()) -> Verdict:
    """The verdict on two measurements, and on other claims on the run; errors as in `check`."""
    require_comparable(before, after)
    max_drop = drop_limit(before, policy.max_drop, [m for m in before.margins if policy.requires(m)])
    claims = _claims(before, after, policy, max_drop, others)
    unsettled = [
        (claim, share)
        for claim, share in zip(claims, shares(claims), strict=True)
        if claim.required and claim.status == "open"
    ]
    needed = [
        prompts_to_settle(claim, len(after.prompt_ids), share, len(unsettled)) for claim, share in unsettled
    ]
    prompts_needed = max((n for n in needed if n is not None), default=None) if None not in needed else None
    outcome, reason = _outcome(claims, prompts_needed, _noise(before, after), max_drop)
    return Verdict(
        outcome=outcome,
        reason=reason,
        claims=tuple(claims),
        prompts=prompt_changes(before, after),
        prompts_needed=prompts_needed,
        measured=Measured(
            model=after.provenance["identity"]["model"],
            adapter=after.provenance["identity"].get("adapter"),
            baseline_model=before.provenance["identity"]["model"],
            baseline_adapter=before.provenance["identity"].get("adapter"),
            space=after.space,
            distance=after.distance,
            n_prompts=len(after.prompt_ids),
            cluster=after.cluster,
            n_clusters=None if after.clusters is None else len(after.clusters),
            max_drop=max_drop,
            auto=policy.max_drop == AUTO,
        ),
    )


def _claims(
    before: Measurement, after: Measurement, policy: Policy, max_drop: float, others: Sequence[Claim]
) -> list[Claim]:
    columns = {margin.column for margin in after.margins} - {None}
    if unknown := set(policy.slices) - columns:
        known = ", ".join(sorted(map(str, columns))) or "none"
        raise MarginError(f"no slices by {', '.join(sorted(unknown))}: the run has {known}")
    was = {(margin.column, margin.name): margin for margin in before.margins}
    claims = []
    for margin in after.margins:
        required = policy.requires(margin)
        if required or margin.column is None or margin.n_units >= MIN_PROMPTS:
            earlier = was[margin.column, margin.name]
            claims.append(drop_claim(earlier, margin, max_drop, required, after.clusters))
    if policy.min_margin is not None:
        now, then = (floor_claim(m.overall, policy.min_margin, m.clusters) for m in (after, before))
        claims.append(compared(now, then))
    if policy.above_decoys is not None:
        found, was_above = (
            None if m.above_decoys is None else above_claim(m.above_decoys, policy.above_decoys)
            for m in (after, before)
        )
        if found is None:
            raise MarginError(
                f"the run has no two sets of decoys in {after.space}, so nothing is known of what its margin "
                "is above them: collect with --decoys 5"
            )
        claims.append(compared(found, was_above))
    # A control that could be judged at the baseline must not get away by no longer being one, nor with fewer
    # prompts: neither by a wider limit, nor by those that are no longer there.
    leaks = {leak.condition: leak for leak in after.leaks}
    for was_leak in before.leaks:
        leak = leaks[was_leak.condition]
        limit = leak_limit(was_leak, policy.max_leak)
        missing = max(0, was_leak.n_prompts - leak.n_prompts)
        now_leaks = leak_claim(leak, limit, not was_leak.indicative, missing)
        claims.append(compared(now_leaks, leak_claim(was_leak, limit)))
    return corrected([*claims, *others])


def _outcome(
    claims: list[Claim], prompts_needed: int | None, noise: float, max_drop: float
) -> tuple[Outcome, str]:
    if noise > max_drop:
        return "inconclusive", (
            f"the margin is only known to {noise:.3g} (noise floor), which is more than the drop of "
            f"{max_drop:.3g} that is allowed: collect both runs in float32, or allow more"
        )
    broken = [claim for claim in claims if claim.status == "broken"]
    worse = _listed([claim.name for claim in broken if claim.worse])
    unmet = _listed([claim.name for claim in broken if not claim.worse])
    if worse:
        beside = f"; not met by the baseline either: {unmet}" if unmet else ""
        return "regression", f"shown to be broken: {worse}{beside}"
    if unmet:
        return "limit not met", (
            f"{unmet}; the baseline is not shown to have met it either, nor to have been better, so this is "
            "no regression"
        )
    if unsettled := [claim for claim in claims if claim.required and claim.status == "open"]:
        if prompts_needed:
            way_out = f"about {prompts_needed:,} prompts would do"
        elif any(claim.kind == "exposure" for claim in unsettled):
            way_out = "margin secrecy with more --candidates may tell, unless it lies at the limit"
        elif any(claim.missing for claim in unsettled):
            way_out = (
                "prompts of the baseline are missing under its control: collect with more --thought-tokens, "
                "or as many --decoy-prompts"
            )
        elif any(claim.indicative for claim in unsettled):
            way_out = "its modes are told apart too badly for a rate of leaks"
        elif any(claim.kind == "above" for claim in unsettled):
            way_out = "more decoy sets on more prompts would do: --decoys and --decoy-prompts"
        else:
            way_out = "no number of prompts would do, it lies at the limit"
        return "inconclusive", f"not settled: {_listed([claim.name for claim in unsettled])}; {way_out}"
    undecided = sum(claim.status == "open" for claim in claims)
    return "pass", "every claim is shown to hold" + (f", but {undecided} not required" if undecided else "")


def _listed(names: list[str]) -> str:
    named = names if len(names) <= NAMED else [*names[:NAMED], f"{len(names) - NAMED} more"]
    return ", ".join(named)


def _noise(before: Measurement, after: Measurement) -> float:
    return max((m.noise_floor["sam"] for m in (before, after) if m.noise_floor), default=0.0)
