"""What is found on the answers of a run, as one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

import pandas as pd

from margin.analysis.behaviour.audited import Audit
from margin.short import Short
from margin.stats.estimate import Estimate

Quantity = Literal["observed", "constructive_safety", "cosa", "agreement", "kappa"]
MODES = "modes"
"""Condition of what is found on all modes together."""


@dataclass(frozen=True, kw_only=True)
class Observation(Short):
    """One number on the answers under one condition.

    - "observed": share of prompts any of whose draws got `label`, as leaks are counted; with one draw a
      prompt the shares of a condition add up to 1, with several they may add up to more.
    - "constructive_safety", "cosa": scores, see `scores`.
    - "agreement": of the label expected of the mode that a row is nearest to with the judge's; "kappa" too,
      over all modes together.
    """

    quantity: Quantity
    condition: str
    """The mode asked for, or a control condition; "modes" for all modes together."""
    kind: str
    """"mode", or the kind of control."""
    mode: str | None = None
    """Mode whose token stands in the system message; None without, or over several."""
    label: str | None = None
    """The judge's label, for "observed"."""
    value: Estimate
    count: int | None = None
    """Prompts counted, for "observed"."""
    answers: int | None = None
    """Answers counted, over all draws, for "observed"."""
    draws: int = 1
    """Draws a prompt."""
    indicative: bool = False
    """Whether the geometry places points of known mode too badly (under 0.9) to be relied on."""


@dataclass(frozen=True, eq=False)
class Behaviour(Short):
    """What a judge found in the answers of a run, beside where its geometry puts them."""

    judge: str
    """Who judged."""
    expected: Mapping[str, str]
    """Label that answers under each mode should bear; empty where that is not known."""
    observations: tuple[Observation, ...]
    disagreements: pd.DataFrame
    """One line a row whose label is not that of the mode it is nearest to: row, prompt_id, condition, draw,
    nearest, outside, expected, label; prompt and answer only when text was asked for."""
    audit: Audit | None = None
    """What a person says of a sample of the answers; None where nobody labelled any."""

    def select(self, quantity: Quantity) -> list[Observation]:
        """Observations of one quantity."""
        return [found for found in self.observations if found.quantity == quantity]

    @property
    def alike(self) -> dict[str, list[str]]:
        """Modes that the judge cannot tell apart, by the one label that is expected of them all."""
        modes: dict[str, list[str]] = {}
        for mode, label in self.expected.items():
            modes.setdefault(label, []).append(mode)
        return {label: of_label for label, of_label in modes.items() if len(of_label) > 1}

    def matrix(self) -> pd.DataFrame:
        """Prompts by condition (rows: the modes asked for, then controls) and observed label (columns)."""
        counts: dict[str, dict[str | None, int | None]] = {}
        for found in self.select("observed"):
            counts.setdefault(found.condition, {})[found.label] = found.count
        return pd.DataFrame.from_dict(counts, orient="index")

    def to_frame(self) -> pd.DataFrame:
        """One line an observation: its fields, with those of the estimate in the place of `value`."""
        return pd.DataFrame([_record(found) for found in self.observations], dtype=object)

    def records(self) -> list[dict[str, Any]]:
        """Plain records, as report.json stores them: observations, then disagreements."""
        observed = [{"judge": self.judge, **_record(found)} for found in self.observations]
        listed = self.disagreements.astype(object).to_dict("records")
        return [*observed, *({"judge": self.judge, "quantity": "disagreement", **line} for line in listed)]


def _record(found: Observation) -> dict[str, Any]:
    names = [field.name for field in fields(Observation) if field.name != "value"]
    return {name: getattr(found, name) for name in names} | found.value.to_dict()
