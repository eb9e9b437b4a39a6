"""Across checkpoints, does the margin tell what the model does? What was found, as tables have it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from margin.short import Short
from margin.stats.association import Association
from margin.stats.estimate import Estimate
from margin.study.numbers import By, RunNumber
from margin.study.related_runs import Runs
from margin.study.within_run import WithinRun


@dataclass(frozen=True, eq=False)
class Pair(Short):
    """One margin and one behaviour over the checkpoints that have both."""

    margin: str
    behaviour: str
    by: By
    """What told the behaviour."""
    worse: bool
    """Whether more of the behaviour is worse."""
    closer: bool
    """Whether more of the margin says that modes stand closer together."""
    association: Association
    p_holm: float
    """Of no correlation, adjusted over all pairs; NaN without an interval."""
    runs: int
    trainings: int

    @property
    def sign(self) -> int:
        """-1 where modes farther apart, with better behaviour, have a negative correlation, else 1."""
        return -1 if self.worse != self.closer else 1

    @property
    def oriented(self) -> float:
        """Spearman's, positive where modes that stand farther apart go with better behaviour."""
        return self.sign * self.association.spearman.estimate


@dataclass(frozen=True, eq=False)
class Candidate(Short):
    """One margin as something to gate on: how well it tells all behaviours that are counted."""

    margin: str
    mean: Estimate
    """Mean of Spearman's over behaviours, positive where modes farther apart go with better behaviour."""
    least: float
    """The least of them."""
    behaviour: str
    """The behaviour it is of."""
    behind: Estimate
    """How far `mean` lies behind that of the first on the list, paired by checkpoints."""


@dataclass(frozen=True, eq=False)
class Relation(Short):
    """What checkpoints' margins tell of what they do, and within each run what those of rows tell."""

    runs: Runs
    level: float
    numbers: Mapping[str, list[RunNumber | None]]
    """Every number by name, one of each run; None where a run has not got it."""
    pairs: tuple[Pair, ...]
    """Margins against behaviours, the closest first."""
    candidates: tuple[Candidate, ...]
    """Margins to gate on, the best first."""
    judged_by: tuple[str, ...]
    """The behaviours that `candidates` are ranked by."""
    within: tuple[WithinRun, ...]
    areas: Mapping[str, Estimate]
    """Mean area over runs, by margin."""
    left_out: Mapping[str, str]
    """Numbers that were left out, and why."""

    def values(self, name: str) -> pd.DataFrame:
        """One number of every run: columns run, training, step, estimate, low, high."""
        lines = [
            {"estimate": np.nan, "low": np.nan, "high": np.nan}
            if one is None
            else {"estimate": one.value.estimate, "low": one.value.low, "high": one.value.high}
            for one in self.numbers[name]
        ]
        about = {"run": self.runs.names, "training": self.runs.training, "step": self.runs.step}
        frame = pd.concat([pd.DataFrame(about), pd.DataFrame(lines)], axis=1)
        return frame.astype(dict.fromkeys(("step", "estimate", "low", "high"), float))

    def to_frame(self) -> pd.DataFrame:
        """One line a pair: margin, behaviour, by, worse, then spearman, kendall, corrected and partial with
        _low and _high each, p_value, p_holm, reliability_of_margin, reliability_of_behaviour, n_runs,
        n_trainings."""
        return pd.DataFrame([_line(pair) for pair in self.pairs])


def _line(pair: Pair) -> dict[str, object]:
    found = pair.association
    line: dict[str, object] = {
        "margin": pair.margin,
        "behaviour": pair.behaviour,
        "by": pair.by,
        "worse": pair.worse,
    }
    for name, one in _estimates(found):
        line |= {name: one.estimate, f"{name}_low": one.low, f"{name}_high": one.high}
    of_margin, of_behaviour = found.reliability or (np.nan, np.nan)
    return line | {
        "p_value": found.p_value,
        "p_holm": pair.p_holm,
        "reliability_of_margin": of_margin,
        "reliability_of_behaviour": of_behaviour,
        "n_runs": pair.runs,
        "n_trainings": pair.trainings,
    }


def _estimates(found: Association) -> Iterator[tuple[str, Estimate]]:
    yield "spearman", found.spearman
    yield "kendall", found.kendall
    yield "corrected", found.corrected
    yield "partial", found.partial or Estimate(np.nan)
