"""Several runs on the same prompts: paired differences of their margins.

What prompts have in common cancels in a paired difference: its variance is that of the difference of the two
influences, prompt by prompt, often a hundredth of what two independent runs would give.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from margin.analysis.margins import Margins, margins
from margin.analysis.metrics import Distance
from margin.analysis.shared_points import shared_points
from margin.analysis.space import Space
from margin.arguments import require_number
from margin.errors import MarginError
from margin.short import Short
from margin.stats.clusters import Clusters
from margin.stats.design import Design
from margin.stats.estimate import Estimate
from margin.stats.intervals import JACKKNIFE, t_interval
from margin.stats.multiplicity import holm, simultaneous_estimates
from margin.stats.power import detectable_difference, power, prompts_needed
from margin.stats.quantiles import t_tail
from margin.stats.seeds import generator
from margin.text import shown

MOST_DROP = 2
"""What a margin can fall at most: from 1 to -1."""
Against = Literal["first", "previous"]
"""The reference of each run: the first of all, or the one before it."""


@dataclass(frozen=True)
class Difference(Short):
    """Margin of one run minus that of its reference."""

    run: str
    reference: str
    """The run it is compared with."""
    margin: str
    """Which margin: leave_prompt_out, prompt_centred, a mode, or a pair "a / b"."""
    difference: Estimate
    """With its own paired interval."""
    simultaneous: Estimate
    """With an interval that holds for all runs at once (this margin)."""
    p_value: float
    """Two-sided, of no difference."""
    p_holm: float
    """The same, adjusted over all runs and margins compared (Holm)."""
    detectable: float
    """Smallest drop that these prompts find with probability 0.8 (one-sided 5%)."""
    power: float
    """Probability that these prompts find a drop of `Comparison.drop` (one-sided 5%), 0 to 1."""
    prompts_for_drop: int | None
    """Fewest prompts that find a drop of `Comparison.drop` with probability 0.8; None beyond 10 million."""
    prompts_to_settle: int | None
    """Fewest prompts that find a difference of the size estimated with probability 0.8, in its direction
    (one-sided 5%); None where nothing differs, or beyond 10 million."""

    @property
    def is_settled(self) -> bool:
        """Whether the paired interval leaves 0 out, or is 0 itself: these prompts suffice."""
        own = self.difference
        if own.low is None or own.high is None:
            return False
        return not own.low <= 0 <= own.high or own.low == own.high


@dataclass(frozen=True, eq=False)
class Comparison(Short):
    """Runs against the first or each against the one before it, on the prompts all of them share."""

    reference: str
    """The first run."""
    prompt_ids: tuple[str, ...]
    margins: dict[str, Margins]
    """Each run's margins on the shared prompts, in their order."""
    differences: tuple[Difference, ...]
    drop: float
    """Drop of a margin, above 0, that power and `prompts_for_drop` are about."""
    clusters: Clusters | None = None
    """Which of the shared prompts hang together, in their order; None where they are independent."""
    across: tuple[str, ...] = ()
    """In what the models were asked differently, one line each; empty where they were asked alike."""
    checkpoints: Mapping[str, str] = field(default_factory=dict)
    """Model and adapter of each run, where they are known."""
    left_out: tuple[str, ...] = ()
    """Of each run whose prompts are not all compared, how many are not, and why; one line each."""
    unchanged: tuple[str, ...] = ()
    """Runs of the very checkpoint that they are compared with: what differs between them is rounding."""

    def to_frame(self) -> pd.DataFrame:
        """One line a run and margin: reference, run, margin, value, the difference and its adjustments."""
        return pd.DataFrame(
            [
                {
                    "reference": d.reference,
                    "run": d.run,
                    "margin": d.margin,
                    "value": self.margins[d.run].estimates[d.margin].estimate,
                    **{"difference" if k == "estimate" else k: v for k, v in d.difference.to_dict().items()},
                    "simultaneous_low": d.simultaneous.low,
                    "simultaneous_high": d.simultaneous.high,
                    "p_value": d.p_value,
                    "p_holm": d.p_holm,
                    "detectable": d.detectable,
                    "drop": self.drop,
                    "power": d.power,
                    "prompts_for_drop": d.prompts_for_drop,
                    "prompts_to_settle": d.prompts_to_settle,
                }
                for d in self.differences
            ]
        )

    def to_dict(self) -> list[dict[str, object]]:
        """The lines of the table as plain records, as `margin compare --json` prints them: no number where
        none is known."""
        lines = self.to_frame().astype(object)
        records: list[dict[str, object]] = lines.where(lines.notna(), None).to_dict("records")
        return records


def compare(
    runs: Mapping[str, tuple[Space, Design]],
    rng: np.random.Generator,
    distance: Distance = "cosine",
    level: float = 0.95,
    against: Against = "first",
    drop: float = 0.01,
) -> Comparison:
    """Compare runs with the first of them, or each with the one before it.

    `drop` is a drop that would matter, which says how good the comparison is: its power, and the prompts it
    takes. The power at the difference found would say no more than its p-value does (Hoenig and Heisey, 2001,
    "The abuse of power"); the prompts that settle it plan another run.

    Margins are recomputed on the points (a prompt under a mode) that all runs hold, in one order, so that
    nothing but the runs differs. That equal ids are equal prompts is the caller's to check.

    Raises
    ------
    MarginError : fewer than two runs, or a drop that is not above 0 and at most 2.
    IncomparableError : other modes, or fewer than two shared prompts.
    """
    if len(runs) < 2:
        raise MarginError(f"a comparison needs at least two runs, got {len(runs)}")
    require_number(drop, "drop", 0, MOST_DROP)
    if not drop > 0:
        raise MarginError(f"a drop of {drop} is none: give a size above 0")
    if against not in get_args(Against):
        raise MarginError(f"against {shown(against)!r}: take {' or '.join(get_args(Against))}")
    first, *others = runs
    points = shared_points({name: design for name, (_, design) in runs.items()})
    design = runs[first][1].subset(points[first])
    of_run = {
        name: margins(space.subset(points[name]), design, distance, level)
        for name, (space, _) in runs.items()
    }
    references = [first] * len(others) if against == "first" else [first, *others[:-1]]
    pairs = list(zip(others, references, strict=True))
    differences = []
    seed = int(rng.integers(2**63))
    for margin in of_run[first].estimates:
        values = [
            of_run[a].estimates[margin].estimate - of_run[b].estimates[margin].estimate for a, b in pairs
        ]
        influences = [of_run[a].influence[margin] - of_run[b].influence[margin] for a, b in pairs]
        U, own = np.column_stack(influences), generator(seed, margin)
        differences += _differences(pairs, margin, values, U, own, level, drop, design.clusters)
    adjusted = holm([difference.p_value for difference in differences])
    all_differences = tuple(
        replace(difference, p_holm=float(p)) for difference, p in zip(differences, adjusted, strict=True)
    )
    return Comparison(first, design.prompt_ids, of_run, all_differences, drop, design.clusters)


def _differences(
    pairs: list[tuple[str, str]],
    margin: str,
    values: list[float],
    influence: NDArray[np.float64],
    rng: np.random.Generator,
    level: float,
    drop: float,
    over: Clusters | None,
) -> list[Difference]:
    n = len(influence) if over is None else len(over)
    each = len(influence) / n  # prompts a unit
    paired = [
        t_interval(v, influence[:, g], level, f"paired {JACKKNIFE}", over=over) for g, v in enumerate(values)
    ]
    together = simultaneous_estimates(values, influence, rng, level=level, over=over)
    p_values = np.array([_two_sided(e, n) for e in paired])
    found = []
    for (run, against), own, joint, p in zip(pairs, paired, together, p_values, strict=True):
        if own.se is None:
            continue
        sd = own.se * np.sqrt(n)
        found.append(
            Difference(
                run=run,
                reference=against,
                margin=margin,
                difference=own,
                simultaneous=joint,
                p_value=float(p),
                p_holm=float(p),  # until all margins are there to adjust it over
                detectable=detectable_difference(sd, n),
                power=float(power(drop, sd, n)),
                prompts_for_drop=_in_prompts(prompts_needed(drop, sd), each),
                prompts_to_settle=_in_prompts(prompts_needed(abs(own.estimate), sd), each),
            )
        )
    return found


def _in_prompts(units: int | None, each: float) -> int | None:
    """A number of units (prompts or clusters) in prompts."""
    return None if units is None else ceil(units * each)


def _two_sided(difference: Estimate, n: int) -> float:
    if not difference.se:
        return 1.0 if difference.estimate == 0 else 0.0
    return float(2 * t_tail(abs(difference.estimate) / difference.se, n - 1))
