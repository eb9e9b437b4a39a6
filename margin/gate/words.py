"""Claims and verdicts in words, the same in every rendering."""

from __future__ import annotations

from margin.errors import MarginError
from margin.gate.claims import AT_MOST, SHARES, Claim
from margin.gate.evidence import Measurement
from margin.gate.limits import (
    AUTO,
    CORRELATION,
    MOST_LEAK,
    MOST_SHARE,
    can_show,
    fewest_to_show,
    leak_limit,
    margin_made,
    prompts_for_share,
    smallest_drop,
)
from margin.gate.verdict import Verdict
from margin.study.notation import model_name
from margin.text import counted


def signed(value: float | None) -> str:
    """A margin or its change to four decimals; a dash where there is none."""
    return "–" if value is None else f"{value:+.4f}"


def was(value: float | None, claim: Claim) -> str:
    """What a claim is about, before or now: a margin, a share, or bits; a dash where it is not known."""
    return f"{value:.4f}" if value is not None and claim.kind in SHARES else signed(value)


def bound(claim: Claim) -> str:
    """The limit of a claim, with its direction."""
    return f"{'≤' if claim.kind in AT_MOST else '≥'} {claim.limit:.3g}"


def asked(claim: Claim) -> str:
    """What is claimed."""
    match claim.kind:
        case "drop":
            return f"down by at most {-claim.limit:.3g}"
        case "floor":
            return f"at least {claim.limit:.3g}"
        case "above":
            return f"at least {claim.limit:.3g} above decoys"
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
        missing = f", {claim.missing} missing" if claim.missing else ""
        return f"{leaks} of {value.n_prompts}{missing} [{value.low:.4f}, {value.high:.4f}]"
    if value.low is None:
        return signed(value.estimate)
    return f"{signed(value.estimate)} [{signed(value.low)}, {signed(value.high)}]"


def concluded(claim: Claim) -> str:
    """What follows; of what is broken, whether the baseline met it; of what stays open, why: a rate not to be
    relied on, or a slice of few prompts."""
    if claim.status == "open" and claim.indicative:
        return "open (indicative)"
    if claim.status == "broken" and not claim.worse:
        return "limit not met"
    if claim.status == "open" and not claim.required and claim.detectable is not None:
        return f"open (would tell {claim.detectable:.2g})"
    return claim.status


def measured(verdict: Verdict) -> str:
    """What was compared, in a line."""
    m = verdict.measured
    now, before = model_name(m.model, m.adapter), model_name(m.baseline_model, m.baseline_adapter)
    apart = (m.model, m.adapter) != (m.baseline_model, m.baseline_adapter)
    if now == before and apart:  # folders of one name
        now, before = m.model, m.baseline_model
    clusters = "" if m.cluster is None else f" in {m.n_clusters} clusters by {m.cluster}"
    allowed = f"; a drop of {m.max_drop:.3g} is allowed (auto)" if m.auto else ""
    return (
        f"{now} against {before}: {counted(m.n_prompts, 'prompt')}{clusters}, "
        f"{m.distance} distance in {m.space}{allowed}"
    )


def worst(verdict: Verdict) -> str:
    """The prompts that fell most, in a line; empty where none fell."""
    lines = verdict.worst_prompts.itertuples()
    return ", ".join(f"{line.prompt_id} ({line.change:+.3f})" for line in lines)


def kept(measured: Measurement) -> str:
    """What a baseline keeps of a run, in a line."""
    overall, decoys = measured.overall, measured.above_decoys
    clusters = "" if measured.cluster is None else f" in {overall.n_units} clusters by {measured.cluster}"
    above = (
        "" if decoys is None else f", {decoys.estimate:+.4f} above {counted(decoys.sets, 'set')} of decoys"
    )
    return (
        f"margin {overall.estimate:+.4f} on {counted(overall.n_prompts, 'prompt')}{clusters}{above}, "
        f"{len(measured.margins) - 1} pairs and slices"
    )


def allowed_unasked(measured: Measurement) -> list[str]:
    """What a check against this baseline allows where no limit is given, and what that rests on: lines."""
    try:
        made = margin_made(measured)
    except MarginError as error:
        return [str(error)]
    told, what = smallest_drop(measured, [measured.overall]), "margin"
    what += "" if measured.above_decoys is None else " above decoys"
    lines = [
        f"smallest drop these prompts can tell: {told:.3g}, {told / made:.0%} of the {what}, if what prompts "
        f"do to the margins of two equal releases correlates at {CORRELATION:g}"
    ]
    if told > MOST_SHARE * made:
        n = prompts_for_share(measured)
        enough = "no number of prompts" if n is None else f"about {n:,} prompts"
        lines.append(
            f"more than {MOST_SHARE:.0%} of it is not allowed unasked ({MOST_SHARE * made:.3g}): many a good "
            f"release will be inconclusive; {enough} would do"
        )
    limits = [f"{leak_limit(leak, AUTO):.3g} under {leak.condition}" for leak in measured.leaks]
    if limits:
        lines.append(f"leaks allowed, as one leaking prompt shows: {', '.join(limits)}")
    if few := [leak.condition for leak in measured.leaks if not can_show(leak)]:
        lines.append(
            f"more than {MOST_LEAK:.0%} is not allowed unasked, which takes {fewest_to_show()} independent "
            f"prompts (or clusters) without a leak, more than under {', '.join(few)}: collect them, or give "
            "--max-leak"
        )
    return lines
