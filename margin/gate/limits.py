"""How far a margin may fall and how often a control may leak, where the limit comes from the prompts.

A limit that n prompts cannot tell from no change ends nearly every check of a good release undecided; one
taken from the release under test would widen with whatever is wrong with it. So `auto` is what the baseline's
prompts can tell, known before any release is collected:

- `max-drop auto` is the smallest allowance that an equal release clears with probability `CLEARED`, if its
  changes spread over prompts like its margin does. That is so where a prompt's part in the margin of two
  releases correlates at `CORRELATION`; equal releases that agree better clear it more often. It is at most
  `MOST_SHARE` of what training made: of the margin above decoys, or of the margin where there are none.
- `max-leak auto` is what a control shows of which one prompt leaks (one cluster, where prompts come in
  clusters): it depends on the number of prompts and not on what leaked before, so that limits do not follow
  leaks upwards. At most `MOST_LEAK`.
"""

from __future__ import annotations

from math import ceil, log
from typing import Literal

import numpy as np

from margin.errors import MarginError
from margin.gate.evidence import ALPHA, Leak, MeasuredMargin, Measurement, error_of
from margin.stats.clusters import Clusters
from margin.stats.intervals import clopper_pearson
from margin.stats.power import detectable_difference, prompts_needed
from margin.text import shown

AUTO: Literal["auto"] = "auto"
CORRELATION = 0.5
"""Assumed correlation over prompts of what a prompt does to the margins of two releases."""
CLEARED = 0.9
"""Probability with which an equal release clears the drop; leaks have the other half of the .2 that fail."""
MOST_SHARE = 0.25
"""Most of the margin above decoys that may be lost unasked."""
MOST_LEAK = 0.05
"""Most prompts of a control, as a share, that may leak unasked."""

Limit = float | str
"""A number, "auto", or a share such as "25%"."""


def check_limit(name: str, value: Limit, most: float, relative: bool) -> None:
    """MarginError where a limit is no number from 0 to `most`, nor auto, nor (if `relative`) a share."""
    if value == AUTO or (relative and isinstance(value, str) and share_of(value) is not None):
        return
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not (number and 0 <= value <= most):  # type: ignore[operator]
        others = (
            f", {AUTO}, or a share such as 25% of the margin above decoys" if relative else f", or {AUTO}"
        )
        raise MarginError(
            f"{name} {shown(str(value))} makes no sense: take a number from 0 to {most:g}{others}"
        )


def share_of(text: str) -> float | None:
    """The share that "25%" is, 0 to 1; None where a text is none."""
    try:
        share = float(text.removesuffix("%")) / 100
    except ValueError:
        return None
    return share if text.endswith("%") and 0 <= share <= 1 else None


def drop_limit(before: Measurement, max_drop: Limit, required: list[MeasuredMargin]) -> float:
    """The drop that is allowed, as a number.

    `required` are the baseline's margins that must be shown to hold; `auto` is cleared by all of them
    together with probability `CLEARED`.

    Raises
    ------
    MarginError : a share of a margin above decoys that is not known, or of no margin.
    """
    if not isinstance(max_drop, str):
        return max_drop
    share = share_of(max_drop)
    if share is None:
        return min(smallest_drop(before, required), MOST_SHARE * margin_made(before))
    if before.above_decoys is None:
        raise MarginError(
            f"--max-drop {max_drop} is a share of the margin above decoys, which the baseline lacks: "
            "collect its run with --decoys 5 and write it again, or give a number"
        )
    return share * margin_made(before)


def leak_limit(leak: Leak, max_leak: Limit) -> float:
    """The share of prompts under a control that may leak, as a number."""
    if not isinstance(max_leak, str):
        return max_leak
    trials = leak.n_prompts if leak.clusters is None else leak.clusters
    return min(clopper_pearson(1, trials, 1 - 2 * ALPHA)[1], MOST_LEAK)


def fewest_to_show() -> int:
    """Independent prompts, or clusters, that show at most `MOST_LEAK` where none leaks."""
    return ceil(log(ALPHA) / log(1 - MOST_LEAK))


def can_show(leak: Leak) -> bool:
    """Whether a control that never leaks can be shown to leak at most `MOST_LEAK`."""
    return (leak.n_prompts if leak.clusters is None else leak.clusters) >= fewest_to_show()


def margin_made(before: Measurement) -> float:
    """What training made of the overall margin: what stands above decoys, all of it where there are none.

    Raises
    ------
    MarginError : there is none.
    """
    made = before.overall.estimate if before.above_decoys is None else before.above_decoys.estimate
    if made <= 0:
        what = "no margin" if before.above_decoys is None else "no margin above decoys"
        raise MarginError(f"the baseline has {what} to take a share of: give --max-drop as a number")
    return made


def smallest_drop(before: Measurement, margins: list[MeasuredMargin]) -> float:
    """Smallest allowance that an equal release clears in all these margins with probability `CLEARED`.

    From the influences of one run alone, under the assumption named at the top of this file.
    """
    target = 1 - (1 - CLEARED) / max(len(margins), 1)
    spreads = [(_spread(margin, before.clusters), margin.n_units) for margin in margins]
    return max(
        (detectable_difference(spread, n, ALPHA, target) for spread, n in spreads if spread is not None),
        default=0.0,
    )


def prompts_for_share(before: Measurement) -> int | None:
    """Prompts at which the smallest drop of the overall margin is `MOST_SHARE` of what training made."""
    overall = before.overall
    spread = _spread(overall, before.clusters)
    if spread is None:
        return None
    needed = prompts_needed(MOST_SHARE * margin_made(before), spread, ALPHA, CLEARED)
    return None if needed is None else ceil(needed * overall.n_prompts / overall.n_units)


def _spread(margin: MeasuredMargin, clusters: Clusters | None) -> float | None:
    """Standard deviation, over independent units, of the change between two equal releases, as assumed."""
    se = error_of(margin.influence, margin.n_units, clusters)
    return None if se is None else float(np.sqrt(2 * (1 - CORRELATION) * margin.n_units) * se)
