"""Modes that differ in two factors, a behaviour and a policy: the margin of each with the other held.

Of six modes (three behaviours under two policies) the margin over all says that each is nearest to itself. It
is small where either factor hardly tells: which one is seen only where the other does not differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from margin.analysis.margins import Margins, margins
from margin.analysis.metrics import Distance
from margin.analysis.space import Space
from margin.short import Short
from margin.stats.design import Design
from margin.stats.estimate import Estimate
from margin.stats.intervals import t_interval

Factor = Literal["behaviour", "policy"]
FACTORS: dict[Factor, str] = {"behaviour": "behaviours", "policy": "policies"}
"""What the values of a factor are called, by the factor."""
VARIANTS = ("leave_prompt_out", "prompt_centred")


@dataclass(frozen=True, eq=False)
class FactorMargin(Short):
    """How far the values of one factor stand apart, with the other factor held."""

    factor: Factor
    within: str | None
    """Value of the other factor; "" for modes that name none, None for the mean over all values."""
    modes: tuple[str, ...]
    """The modes compared."""
    estimates: dict[str, Estimate]
    """By variant: leave_prompt_out and prompt_centred."""


def split(mode: str) -> tuple[str, str]:
    """Behaviour and policy of a mode's name.

    Example
    -------
    >>> split("pos@zh"), split("pos")
    (('pos', 'zh'), ('pos', ''))
    """
    behaviour, _, policy = mode.partition("@")
    return behaviour, policy


def factor_margins(
    space: Space, design: Design, distance: Distance = "cosine", level: float = 0.95
) -> Iterator[FactorMargin]:
    """Margins of behaviours within each policy and of policies within each behaviour, each with their mean.

    Nothing where no mode is named BEHAVIOUR@POLICY. A mean is over the values of the other factor, of equal
    weight; a prompt's influence on it is the mean of its influences, where all are asked the same prompts.

    Intervals are those of `Margins`: of factors that tell they cover .93 to .96 at 20 to 100 prompts and .91
    to .94 over 15 clusters of unequal size; of one that does not tell .98 and more, on the safe side.

    Cost: that of a margin a value, each over the points of its own modes.
    """
    names = [split(mode) for mode in design.modes]
    if not any(policy for _, policy in names):
        return
    sides: tuple[tuple[Factor, int], ...] = (("behaviour", 1), ("policy", 0))
    for factor, held in sides:
        found: list[tuple[Design, Margins]] = []
        values = list(dict.fromkeys(name[held] for name in names))
        for value in values:
            own = [place for place, name in enumerate(names) if name[held] == value]
            if len(own) < 2:
                continue
            points = np.isin(design.mode, own)
            part = design.subset(points)
            its = margins(space.subset(points), part, distance, level)
            found.append((part, its))
            modes = tuple(design.modes[place] for place in own)
            yield FactorMargin(factor, value, modes, {name: getattr(its, name) for name in VARIANTS})
        if len(found) > 1 and len({frozenset(part.prompt_ids) for part, _ in found}) == 1:
            yield _mean(factor, found, level)


def _mean(factor: Factor, found: Sequence[tuple[Design, Margins]], level: float) -> FactorMargin:
    # Prompts stand in the order in which the points of a part name them: that of the first goes for all.
    first, _ = found[0]
    estimates = {}
    for name in VARIANTS:
        value = float(np.mean([getattr(its, name).estimate for _, its in found]))
        by_prompt = [its.influence[name].loc[list(first.prompt_ids)].to_numpy() for _, its in found]
        estimates[name] = t_interval(value, np.mean(by_prompt, axis=0), level, over=first.clusters)
    return FactorMargin(factor, None, tuple(mode for part, _ in found for mode in part.modes), estimates)
