"""Every row of a run in the space of its margin, and the mode each is nearest to."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from margin.analysis.margins import check_design
from margin.analysis.robustness.assignment import Assignment, assign
from margin.analysis.space import Coordinates
from margin.analysis.vectors import FloatArray
from margin.inputs.condition import Rule
from margin.inputs.conditions import condition_of
from margin.run.run import Run
from margin.short import Short
from margin.stats.design import Design
from margin.stats.folds import prompt_folds
from margin.stats.seeds import generator
from margin.study.spaces import design_of


@dataclass(frozen=True, eq=False)
class Placement(Short):
    """The rows of a run as points, and where each rule puts them."""

    space: str
    """"logits", or "state" where the head is not affine."""
    points: FloatArray
    """(N, d) coordinates of every row."""
    reference: NDArray[np.intp]
    """(n k,) places of the rows of known mode."""
    design: Design
    """Their design."""
    prompt: NDArray[np.intp]
    """(N,) index of each row's prompt in the design."""
    fold: NDArray[np.intp]
    """(n,) fold of each prompt."""
    _assignments: dict[Rule, Assignment] = field(default_factory=dict)

    def assignment(self, rule: Rule) -> Assignment:
        """The modes all N points are assigned to by one rule; kept."""
        if rule not in self._assignments:
            known = self.reference.reshape(self.design.n_prompts, self.design.n_modes)
            self._assignments[rule] = assign(rule, self.points, known, self.prompt, self.fold)
        return self._assignments[rule]


def placement_of(run: Run, seed: int = 0, cluster: str | None = None) -> Placement:
    """The rows of a run as points, and the folds of prompts that rules are fitted on.

    Folds keep clusters of prompts together where a column of them is named.

    Raises
    ------
    MarginError : fewer than two prompts.
    """
    name, X = _points(run)
    reference = np.flatnonzero((run.rows["kind"] == "mode").to_numpy())
    design = design_of(run, reference, cluster)
    check_design(Coordinates(X[reference], name), design)
    prompt = pd.Index(design.prompt_ids).get_indexer(run.rows["prompt_id"])
    return Placement(name, X, reference, design, prompt, prompt_folds(design, generator(seed, "placement")))


def nearest_modes(run: Run, placement: Placement) -> pd.DataFrame:
    """Where the geometry puts each row of a run, by the rule of its kind, for the modes' own rows too.

    One line a row: row, nearest (a mode), outside (of it), reliable (whether the rule places at least 0.9 of
    the points of known mode correctly).
    """
    kinds = run.rows["kind"]
    rules = kinds.map(lambda kind: "centroid" if kind == "mode" else condition_of(kind).rule)
    nearest, outside = np.zeros(len(kinds), int), np.zeros(len(kinds), bool)
    reliable = np.zeros(len(kinds), bool)
    for rule in rules.unique():
        assignment, rows = placement.assignment(rule), np.flatnonzero(rules == rule)
        nearest[rows], outside[rows] = assignment.nearest[rows], assignment.outside[rows]
        reliable[rows] = assignment.reliable
    return pd.DataFrame(
        {
            "row": run.rows["row"],
            "nearest": np.asarray(run.modes, dtype=object)[nearest],
            "outside": outside,
            "reliable": reliable,
        }
    )


def _points(run: Run) -> tuple[str, FloatArray]:
    """Coordinates of every row in the space of the headline margin, or the state where it has none."""
    if run.manifest.head.softcap is None:
        coordinates = run.logit_geometry().coordinates("logits")
        if coordinates is not None:
            return "logits", coordinates
    return "state", run.states()
