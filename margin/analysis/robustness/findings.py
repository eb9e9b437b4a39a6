"""What is found on the control conditions of a run, as one table."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

import pandas as pd

from margin.inputs.condition import Rule
from margin.short import Short
from margin.stats.estimate import Estimate

Quantity = Literal["accuracy", "landing", "fallback", "leak", "margin", "change", "retention"]

NUMBERS = ("corrected", "estimate", "low", "high", "se", "level")


@dataclass(frozen=True, kw_only=True)
class Finding(Short):
    """One number on one condition, over all prompts or one slice.

    - "accuracy": share of points of known mode that the rule places rightly.
    - "landing": share of draws that land in `outcome`, a mode or "outside".
    - "fallback": share of prompts all of whose draws land in safe modes; with a lower bound.
    - "leak": share of prompts any of whose draws is nearest to a mode that is not safe, even outside of
      it, so that strangeness hides no leak; with an upper bound. Neither is asked where the system message
      asks for a mode that is not safe.
    - "margin", "change", "retention": margin under an attack, that minus the margin without it, and the one
      over the other (left out where the margin without the attack may be 0).
    """

    quantity: Quantity
    condition: str
    """Name of the condition, for example "near-miss:neg"; "modes" for accuracy."""
    kind: str
    """Kind of the condition (`margin.inputs.conditions`); "mode" for accuracy."""
    mode: str | None = None
    """Mode whose token stands in the system message; None where no live token does."""
    outcome: str | None = None
    """Where draws land, for "landing"."""
    variant: str | None = None
    """Which margin: "leave_prompt_out", or "prompt_centred", which a wrapper that makes prompts alike does
    not widen; None for rates."""
    column: str | None = None
    """Slice column; None over all prompts."""
    slice: str | None = None
    """Value of the slice column."""
    value: Estimate
    count: int | None = None
    """Prompts counted, for "leak" and "fallback"."""
    draws: int = 1
    """Draws a prompt."""
    corrected: float | None = None
    """The landing rate corrected for how often points of known mode are placed wrongly or outside."""
    rule: Rule | None = None
    """How points were placed; None for margins."""
    indicative: bool = False
    """Whether the rule places points of known mode too badly (under 0.9) for its rates to be relied on."""


@dataclass(frozen=True, eq=False)
class Robustness(Short):
    """Findings on every control condition of a run."""

    space: str
    """Space the points were placed in: "logits", or "state" where the head is not affine."""
    findings: tuple[Finding, ...]
    points: pd.DataFrame
    """One line a control row: row, prompt_id, condition, kind, mode, draw, nearest (a mode), p_value (of
    belonging to it), outside, fallback (in a safe mode) and leak (nearest to one that is not)."""

    def select(self, quantity: Quantity) -> list[Finding]:
        """Findings of one quantity over all prompts."""
        return [f for f in self.findings if f.quantity == quantity and f.column is None]

    def landings(self, *kinds: str) -> pd.DataFrame:
        """One line a condition (of these kinds, or any) and outcome: condition, outcome, share, low, high,
        n_prompts.
        """
        lines = [
            (f.condition, f.outcome, f.value.estimate, f.value.low, f.value.high, f.value.n_prompts)
            for f in self.select("landing")
            if f.kind in kinds or not kinds
        ]
        return pd.DataFrame(lines, columns=["condition", "outcome", "share", "low", "high", "n_prompts"])

    def to_frame(self) -> pd.DataFrame:
        """One line a finding: its fields, with those of the estimate in the place of `value`."""
        names = [field.name for field in fields(Finding) if field.name != "value"]
        lines = [{name: getattr(f, name) for name in names} | f.value.to_dict() for f in self.findings]
        table = pd.DataFrame(
            lines,
            columns=[*names, *(each.name for each in fields(Estimate) if each.name != "influence")],
            dtype=object,
        )
        return table.astype(dict.fromkeys(NUMBERS, float))
