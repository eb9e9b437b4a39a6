"""Is a limit that is broken a regression, or was it never met?

A limit (leaks, a floor, what is above decoys) is asked of the run alone, so the baseline itself may be on the
wrong side of it, and an unchanged checkpoint is no regression. To break a limit is one where the baseline is
shown to have met it, or to have been better; anything else is a limit not met. That needs no correction of
its own: it only says what to call what is broken, and neither can be said of a run measured twice.
"""

from __future__ import annotations

from dataclasses import replace

from margin.gate.claims import SHARES, Claim


def compared(now: Claim, before: Claim | None) -> Claim:
    """A claim on a limit, told what the baseline had and whether to break it is to be worse than that.

    `before` is the same claim on the baseline, on the same limit; None where nothing is known of that.
    """
    worse = before is not None and not before.indicative and (before.status == "held" or _fell(now, before))
    was = None if before is None else before.value.estimate
    return replace(now, worse=worse, before=was, after=now.value.estimate)


def _fell(now: Claim, before: Claim) -> bool:
    """Whether the one-sided bounds lie apart, on the side of the limit that is not allowed."""
    better, worse = (before.value, now.value) if now.kind in SHARES else (now.value, before.value)
    # Of shares the smaller is the better one, so that it has to end below where the other begins.
    return better.high is not None and worse.low is not None and better.high < worse.low
