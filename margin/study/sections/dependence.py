"""Do prompts resemble each other more than intervals over prompts allow?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import pandas as pd
from pydantic import Field

from margin.analysis.dependence import Dependence, dependence, near_duplicates
from margin.stats.clusters import Clusters, make_clusters
from margin.study.record import Record
from margin.study.section import Fact, PointSection
from margin.study.study import PointStudy
from margin.study.table import Table, table
from margin.text import brief

TEXTS = "near-duplicate texts"
WORTH = 1.5
"""Design effect from which on a warning is worth its words: intervals are a fifth too narrow."""
LEVEL = 0.05
FEWEST = 8
"""Groups whose spread can be told from chance."""


class DependenceRecord(Record):
    """How far the prompts of a grouping move the headline margin together."""

    grouping: str
    """Column of the prompts, or "near-duplicate texts"."""
    groups: int
    design_effect: float
    """Variance of the margin over groups divided by that over prompts."""
    p_value: Annotated[float, Field(gt=0, le=1)]
    too_narrow: bool
    """Whether intervals over prompts are shown to be too narrow."""


class DependenceKeys(Record):
    dependence: list[DependenceRecord] = []
    """Groupings under which prompts may hang together; empty where intervals are over clusters."""


@dataclass(frozen=True, eq=False)
class DependenceSection(PointSection):
    """Which groupings of the prompts make intervals over prompts too narrow."""

    keys = DependenceKeys
    found: tuple[Dependence, ...]

    @classmethod
    def of(cls, study: PointStudy) -> DependenceSection | None:
        """None where intervals are over clusters already, or nothing groups the prompts."""
        if study.design.clusters is not None:
            return None
        influence = study.headline.influence["leave_prompt_out"].to_numpy()
        found = tuple(
            dependence(name, influence, clusters, study.settings.rng("dependence", name))
            for name, clusters in _groupings(study)
        )
        return cls(found) if found else None

    def too_narrow(self, one: Dependence) -> bool:
        """Whether intervals over prompts are shown to be too narrow, Bonferroni over the groupings."""
        return one.p_value * len(self.found) <= LEVEL and one.design_effect >= WORTH

    def record(self) -> DependenceKeys:
        """One line a grouping."""
        return DependenceKeys(
            dependence=[
                DependenceRecord(
                    grouping=one.grouping,
                    groups=one.groups,
                    design_effect=one.design_effect,
                    p_value=one.p_value,
                    too_narrow=self.too_narrow(one),
                )
                for one in self.found
            ]
        )

    def tables(self) -> Iterator[Table]:
        """One line a grouping."""
        lines = [
            {
                "grouping": one.grouping,
                "groups": one.groups,
                "design effect": one.design_effect,
                "p value": one.p_value,
            }
            for one in self.found
        ]
        note = (
            "Design effect: how much larger the variance of the margin is over groups of prompts than over "
            "prompts. Well above 1, prompts of a group resemble each other, and intervals over prompts are "
            "too narrow: cluster by the column (--cluster)."
        )
        yield table("dependence", "Do prompts resemble each other?", note, pd.DataFrame(lines))

    @property
    def caveat(self) -> tuple[float, str] | None:
        """The largest factor by which intervals may be too narrow, and the sentence; None where none is."""
        worst = max(filter(self.too_narrow, self.found), key=lambda one: one.design_effect, default=None)
        return None if worst is None else (worst.design_effect**0.5, _sentence(worst))

    def facts(self) -> Iterator[Fact]:
        """Groupings under which intervals are too narrow."""
        for one in filter(self.too_narrow, self.found):
            factor = f"{one.design_effect**0.5:.1f} times"
            yield Fact("too narrow", factor, "", _sentence(one), card=False, alarm=True)


def _sentence(one: Dependence) -> str:
    name = brief(one.grouping)
    todo = "a column that groups them" if one.grouping == TEXTS else f"{name} (--cluster)"
    return (
        f"intervals may be too narrow by a factor of {one.design_effect**0.5:.1f}: prompts alike in {name} "
        f"resemble each other (design effect {one.design_effect:.1f}); cluster by {todo}"
    )


def _groupings(study: PointStudy) -> Iterator[tuple[str, Clusters]]:
    """Columns that group the prompts, and texts that are nearly the same."""
    n, ids = study.design.n_prompts, list(study.design.prompt_ids)
    for column in study.labels:
        labels = study.labels[column].reindex(ids)
        if labels.notna().any() and FEWEST <= labels.nunique() <= n // 2:
            yield str(column), make_clusters(labels)
    if study.texts is None:
        return
    clusters = near_duplicates(study.texts.reindex(ids).tolist())
    if FEWEST <= len(clusters) <= 0.8 * n:
        yield TEXTS, clusters
