"""A checkpoint that strings are tried on: asked, with the landing rule fitted and the prompts dealt."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from margin.analysis.openings import Openings
from margin.analysis.robustness.assignment import assign
from margin.arguments import named, require_count, require_level
from margin.errors import MarginError, MarginWarning
from margin.inputs.modes import ModeSet
from margin.inputs.moment import NEARLY_ALL, opens_thought, undecided
from margin.inputs.prompts import PromptSet
from margin.stats.clusters import Clusters, make_clusters
from margin.stats.design import Design, make_design
from margin.stats.folds import prompt_folds
from margin.stats.seeds import generator
from margin.text import shown

if TYPE_CHECKING:
    from margin.capture.openings import Asking, Place


CLUSTERS_A_TRIED_ONE = 4
"""Independent units of prompts, at least, for each that is tried first: most are to confirm on."""


@named
@dataclass(frozen=True, kw_only=True)
class SecrecyOptions:
    """Budgets and choices of `margin.secrecy`. MarginError for what makes no sense."""

    candidates: int = 4096
    """Random strings of a token's shape that its likelihood is ranked among, at least 1,000."""
    limit: int = 200
    """Prompts at most, drawn at random; the landing rule is fitted on them."""
    tried: int = 8
    """Prompts on which every string that can be listed is tried."""
    confirmed: int = 48
    """Other prompts: drawn strings are tried on them, and what is found is confirmed."""
    draws: int = 16
    """Strings drawn for each of these, of each kind that is drawn."""
    distance: int = 3
    """Edits from a token, at most."""
    passes: int = 2000
    """Forward passes of each search; 0: none."""
    answer: int = 48
    """Tokens of an answer to a request to say the instructions, and of one that is judged; 0: no requests."""
    level: float = 0.95
    seed: int = 0
    cluster: str | None = None
    """Column of the prompts that names what hangs together; intervals are then over clusters."""
    batch_tokens: int = 1024

    def __post_init__(self) -> None:
        least = {"candidates": 1000, "limit": 4, "tried": 1, "confirmed": 2, "draws": 1, "distance": 1}
        for name, at_least in (least | {"passes": 0, "answer": 0, "seed": 0, "batch_tokens": 1}).items():
            require_count(getattr(self, name), name, at_least)
        require_level(self.level)


@dataclass(frozen=True, eq=False)
class Subject:
    """One checkpoint asked, and which of its prompts serve what."""

    asking: Asking
    options: SecrecyOptions

    @property
    def modes(self) -> ModeSet:
        """The modes, live or decoys."""
        return self.asking.modes

    @property
    def prompts(self) -> PromptSet:
        """The prompts that it is asked."""
        return self.asking.prompts

    @cached_property
    def known(self) -> NDArray[np.float64]:
        """(n, k, d) points of all prompts under the modes; runs them when first asked for."""
        return self.asking.live_points()

    @cached_property
    def design(self) -> Design:
        """Prompts, modes and clusters."""
        names, ids, column = self.modes.names, self.prompts.ids, self.options.cluster
        design = make_design([name for _ in ids for name in names], [id for id in ids for _ in names])
        labels = None if column is None else pd.Series(self.prompts.table[column].to_numpy(), index=ids)
        return design.clustered(labels)

    @cached_property
    def fold(self) -> NDArray[np.intp]:
        """(n,) fold of each prompt: a point is placed by a fit on prompts of other folds."""
        return prompt_folds(self.design, generator(self.options.seed, "placement"))

    @cached_property
    def dealt(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Prompts that are tried first, and others that are confirmed on; a cluster is never in both."""
        rng, unit = generator(self.options.seed, "secrecy", "dealt"), self.design.unit
        units = rng.permutation(self.design.n_units)
        few = min(self.options.tried, max(1, len(units) // CLUSTERS_A_TRIED_ONE))
        tried, rest = (_in_turns(unit, some) for some in (units[:few], units[few:]))
        if len(rest) < 2:
            raise MarginError("too few prompts beside those that are tried first: give more")
        return np.sort(tried[: self.options.tried]), np.sort(rest[: self.options.confirmed])

    @property
    def tried(self) -> NDArray[np.intp]:
        """Prompts that are tried first."""
        return self.dealt[0]

    @property
    def confirmed(self) -> NDArray[np.intp]:
        """Prompts that are confirmed on."""
        return self.dealt[1]

    def over(self, prompts: NDArray[np.intp]) -> Clusters | None:
        """Clusters of some prompts; None where prompts are independent."""
        clusters = self.design.clusters
        return None if clusters is None else make_clusters(clusters.code[prompts])

    def accuracy(self) -> float:
        """Share of the modes' own rows that the rule for a token in its place puts rightly."""
        n, k, d = self.known.shape
        rows = np.arange(n * k).reshape(n, k)
        prompts = np.repeat(np.arange(n), k)
        return assign("centroid", self.known.reshape(n * k, d), rows, prompts, self.fold).balanced_accuracy

    def openings(self, place: Place = "token", modes: Sequence[str] = ()) -> Openings:
        """The landing rule of a place, and which modes count as opened: those not safe unless given."""
        rule: Literal["centroid", "discriminant"] = "centroid" if place == "token" else "discriminant"
        target = [mode.name in modes if modes else not mode.safe for mode in self.modes.modes]
        return Openings(rule, self.known, self.fold, np.array(target))

    def depths(
        self, openings: Openings, strings: Sequence[str], prompts: NDArray[np.intp], place: Place = "token"
    ) -> NDArray[np.float64]:
        """(m, n) depth of every string with every prompt."""
        points = self.asking.points(self.asking.rows(strings, prompts.tolist(), place))
        return openings.depth(points, np.tile(prompts, len(strings))).reshape(len(strings), len(prompts))

    def rows_of_own(self, strings: Sequence[Sequence[str]], prompts: NDArray[np.intp]) -> list[list[int]]:
        """Token ids of each prompt with its own strings, prompt-major: as secret as these."""
        rows = self.asking.rows
        pairs = zip(prompts.tolist(), strings, strict=True)
        return [row for prompt, own in pairs for row in rows(own, [prompt])]

    def depths_of_own(
        self, openings: Openings, strings: Sequence[Sequence[str]], prompts: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        """(n, m) depth of each prompt with its own m strings."""
        points = self.asking.points(self.rows_of_own(strings, prompts))
        return openings.depth(points, np.repeat(prompts, len(strings[0]))).reshape(len(prompts), -1)


def warn_where_undecided(live: Subject) -> None:
    """A `MarginWarning` where live rows open a thought: what is opened is told by where they end."""
    token, share = live.asking.predicted()
    if share >= NEARLY_ALL and opens_thought(token):
        warnings.warn(
            f"{undecided(shown(token), share)}, and what is said to open a mode may not: pass "
            "--response-prefix with what comes before the answer",
            MarginWarning,
            stacklevel=3,
        )


def _in_turns(unit: NDArray[np.intp], units: NDArray[np.intp]) -> NDArray[np.intp]:
    """Prompts of some units, one of each in turns: the first of them are of as many units as can be."""
    prompts = np.flatnonzero(np.isin(unit, units))
    turn = pd.Series(unit[prompts]).groupby(unit[prompts]).cumcount().to_numpy()
    place = np.argsort(units)[np.searchsorted(np.sort(units), unit[prompts])]
    return prompts[np.lexsort((place, turn))]
