"""Several runs on the same prompts: paired differences of their margins.

What prompts have in common cancels in a paired difference: its variance is that of the difference of the two
influences, prompt by prompt, often a hundredth of what two independent runs would give.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from margin.analysis.design import Design
from margin.analysis.distances import Distance
from margin.analysis.estimate import Estimate
from margin.analysis.influence import METHOD, jackknife_estimate
from margin.analysis.multiplicity import holm, simultaneous_estimates
from margin.analysis.power import detectable_difference
from margin.analysis.sam import Margins, margins
from margin.analysis.space import Space
from margin.errors import IncomparableError


@dataclass(frozen=True)
class Difference:
    """Margin of one run minus that of the reference."""

    run: str
    margin: str
    """Which margin: leave_prompt_out, prompt_centred, a mode, or a pair "a / b"."""
    difference: Estimate
    """With its own paired interval."""
    simultaneous: Estimate
    """With an interval that holds for all runs at once (this margin)."""
    p_value: float
    """Two-sided, of no difference."""
    p_holm: float
    """The same, adjusted over runs (this margin)."""
    detectable: float
    """Smallest drop that these prompts find with probability 0.8 (one-sided 5%)."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Runs against a reference, on the prompts all of them share."""

    reference: str
    prompt_ids: tuple[str, ...]
    margins: dict[str, Margins]
    """Each run's margins on the shared prompts, the reference first."""
    differences: tuple[Difference, ...]

    def to_frame(self) -> pd.DataFrame:
        """One line a run and margin: reference, run, margin, value, the difference's fields and adjustments."""
        return pd.DataFrame(
            [
                {
                    "reference": self.reference,
                    "run": d.run,
                    "margin": d.margin,
                    "value": self.margins[d.run].estimates[d.margin].estimate,
                    **{"difference" if k == "estimate" else k: v for k, v in d.difference.to_dict().items()},
                    "simultaneous_low": d.simultaneous.low,
                    "simultaneous_high": d.simultaneous.high,
                    "p_value": d.p_value,
                    "p_holm": d.p_holm,
                    "detectable": d.detectable,
                }
                for d in self.differences
            ]
        )


def compare(
    runs: Mapping[str, tuple[Space, Design]],
    rng: np.random.Generator,
    distance: Distance = "cosine",
    level: float = 0.95,
) -> Comparison:
    """Compare runs with the first of them.

    Margins are recomputed on the shared prompts, so that nothing but the runs differs.

    Raises
    ------
    IncomparableError : other modes, or fewer than two shared prompts.
    """
    names = list(runs)
    shared = shared_prompts({name: design for name, (_, design) in runs.items()})
    of_run: dict[str, Margins] = {}
    for name, (space, design) in runs.items():
        keep = np.isin(np.asarray(design.prompt_ids, dtype=object), list(shared))[design.prompt]
        of_run[name] = margins(space.subset(keep), design.subset(keep), distance, level)
    reference = of_run[names[0]]
    differences = []
    for margin in reference.influence.columns:
        values, influences = [], []
        for name in names[1:]:
            values.append(of_run[name].estimates[margin].estimate - reference.estimates[margin].estimate)
            U = of_run[name].influence[margin].reindex(reference.influence.index)
            influences.append(U.to_numpy() - reference.influence[margin].to_numpy())
        if values:
            differences += _differences(names[1:], margin, values, np.column_stack(influences), rng, level)
    return Comparison(names[0], tuple(reference.influence.index), of_run, tuple(differences))


def shared_prompts(designs: Mapping[str, Design]) -> set[str]:
    """Ids of the prompts that all runs hold; IncomparableError where modes differ or fewer than two are shared."""
    first, *others = designs
    shared = set(designs[first].prompt_ids)
    for name in others:
        if set(designs[name].modes) != set(designs[first].modes):
            raise IncomparableError(
                f"{name} has modes {', '.join(designs[name].modes)}, {first} has {', '.join(designs[first].modes)}: "
                "compare runs of one mode set"
            )
        shared &= set(designs[name].prompt_ids)
    if len(shared) < 2:
        raise IncomparableError(
            f"{' and '.join(designs)} share {len(shared)} prompts: a paired comparison needs at least two"
        )
    return shared


def _differences(
    names: list[str],
    margin: str,
    values: list[float],
    influence: np.ndarray,
    rng: np.random.Generator,
    level: float,
) -> list[Difference]:
    n = len(influence)
    paired = [
        jackknife_estimate(v, influence[:, g], level, f"paired {METHOD}") for g, v in enumerate(values)
    ]
    together = simultaneous_estimates(values, influence, rng, level=level)
    p_values = np.array([_two_sided(e, n) for e in paired])
    return [
        Difference(name, margin, own, joint, float(p), float(adjusted), detectable_difference(own.se * np.sqrt(n), n))
        for name, own, joint, p, adjusted in zip(names, paired, together, p_values, holm(p_values), strict=True)
        if own.se is not None
    ]


def _two_sided(difference: Estimate, n: int) -> float:
    if not difference.se:
        return 1.0 if difference.estimate == 0 else 0.0
    return float(2 * stats.t.sf(abs(difference.estimate) / difference.se, n - 1))
