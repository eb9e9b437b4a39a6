"""Claims and verdicts in words, the same in every rendering."""

from __future__ import annotations

from margin.gate.claims import SHARES, Claim
from margin.gate.verdict import Verdict


def signed(value: float | None) -> str:
    """A margin or its change to four decimals; a dash where there is none."""
    return "–" if value is None else f"{value:+.4f}"


def asked(claim: Claim) -> str:
    """What is claimed."""
    match claim.kind:
        case "drop":
            return f"down by at most {-claim.limit:.3g}"
        case "floor":
            return f"at least {claim.limit:.3g}"
        case "leak":
            return f"at most {claim.limit:.3g} leak"
        case "exposure":
            return f"at most {claim.limit:.3g} bits"
        case "said":
            return f"at most {claim.limit:.3g} say it"
        case "near-miss":
            return f"at most {claim.limit:.3g} open"


def found(claim: Claim) -> str:
    """What was seen, with its one-sided 95% bounds."""
    value = claim.value
    if claim.kind == "exposure":
        high = "–" if value.high is None else f"{value.high:.2f}"
        return f"{value.estimate:.2f} [{value.low:.2f}, {high}]"
    if claim.kind in SHARES:
        leaks = round(value.estimate * value.n_prompts)
        return f"{leaks} of {value.n_prompts} [{value.low:.4f}, {value.high:.4f}]"
    if value.low is None:
        return signed(value.estimate)
    return f"{signed(value.estimate)} [{signed(value.low)}, {signed(value.high)}]"


def concluded(claim: Claim) -> str:
    """What follows; of what stays open, why: a rate not to be relied on, or a slice of few prompts."""
    if claim.status == "open" and claim.indicative:
        return "open (indicative)"
    if claim.status == "open" and not claim.required and claim.detectable is not None:
        return f"open (would tell {claim.detectable:.2g})"
    return claim.status


def measured(verdict: Verdict) -> str:
    """What was compared, in a line."""
    m = verdict.measured
    return f"{m.model} against {m.baseline_model}: {m.n_prompts} prompts, {m.distance} distance in {m.space}"


def worst(verdict: Verdict) -> str:
    """The prompts that fell most, in a line; empty where none fell."""
    lines = verdict.worst_prompts.itertuples()
    return ", ".join(f"{line.prompt_id} ({line.change:+.3f})" for line in lines)
