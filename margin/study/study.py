"""Points, or a run, with all that is computed of them, each once and only when asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from margin.analysis.distances import Distances
from margin.analysis.margins import Margins, margins
from margin.analysis.metrics import Distance
from margin.analysis.separation.tokens import TokenTables
from margin.analysis.space import Coordinates, Space
from margin.analysis.token_margin import token_margins
from margin.analysis.vectors import FloatArray
from margin.run.run import Run
from margin.stats.design import Design
from margin.study.decoys import DecoyRows, decoy_rows
from margin.study.placement import Placement, placement_of
from margin.study.section import PointSection, Section
from margin.study.settings import Settings
from margin.study.spaces import design_of, space_of, tokens_of
from margin.study.verdict import Line
from margin.text import brief

HEADLINE: Distance = "cosine"
"""The distance of the numbers that stand alone: the null, per mode, one versus one, the weakest prompts."""
SPACE = "logits"
"""The space of the numbers that stand alone."""

DISTANCES: tuple[Distance, ...] = ("cosine", "euclidean", "sqeuclidean")
"""Distances that make sense between logits and between states."""

EUCLIDEAN_PROMPTS = 10_000
"""Where there are more prompts, Euclidean margins, which cost the square of their number, are those of a
random sample of this many; their `n_prompts` says so."""

P = TypeVar("P", bound=PointSection)
S = TypeVar("S", bound=Section)


class PointStudy(ABC):
    """Points, each one prompt under one mode, opened for analysis: what a `PointSection` asks.

    What several sections need (distances, margins under a distance) is made once and kept; sections are
    computed when they are asked for, and kept.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = Settings() if settings is None else settings
        self._sections: dict[type[Section], Section | None] = {}
        self._margins: dict[tuple[str, Distance], Margins] = {}

    @property
    @abstractmethod
    def space(self) -> Space:
        """The points of the headline space."""

    @property
    @abstractmethod
    def design(self) -> Design:
        """Prompt and mode of each of these points."""

    @property
    @abstractmethod
    def labels(self) -> pd.DataFrame:
        """What else is known of the prompts, a column each, indexed by prompt id."""

    @property
    def texts(self) -> pd.Series | None:
        """The prompts themselves by prompt id; None where they are not known."""
        return None

    @property
    def tokens(self) -> TokenTables | None:
        """What is kept of whole next-token distributions; None without."""
        return None

    def coordinates(self) -> tuple[FloatArray, bool]:
        """(N, d) places of the points in a picture, and whether they are those of the headline space."""
        assert isinstance(self.space, Coordinates)
        return self.space.X, True

    def token_margins(self) -> FloatArray | None:
        """(N,) margin of each point's first token; None where its likeliest tokens are not known."""
        return None

    @cached_property
    def distances(self) -> Distances:
        """Distances of the headline."""
        return self.space.distances(HEADLINE)

    @property
    def headline(self) -> Margins:
        """Margins of the headline space under the headline distance."""
        return self.margins(self.space.name, HEADLINE)

    def by_distance(self) -> dict[Distance, Margins]:
        """Margins of the headline space under every distance that makes sense in it."""
        return {distance: self.margins(self.space.name, distance) for distance in DISTANCES}

    def margins(self, space: str, distance: Distance) -> Margins:
        """Margins of one space under one distance; of a sample of `EUCLIDEAN_PROMPTS` for the Euclidean."""
        if (space, distance) not in self._margins:
            points, design = self._points(space)
            if distance == "euclidean" and design.n_prompts > EUCLIDEAN_PROMPTS:
                keep = design.sample(EUCLIDEAN_PROMPTS, self.settings.rng("Euclidean margins"))
                points, design = points.subset(keep), design.subset(keep)
            self._margins[space, distance] = margins(points, design, distance, self.settings.level)
        return self._margins[space, distance]

    def section(self, kind: type[P]) -> P | None:
        """One section; None where nothing is known for it."""
        if kind not in self._sections:
            self._sections[kind] = kind.of(self)
        found = self._sections[kind]
        assert found is None or isinstance(found, kind)
        return found

    def _points(self, name: str) -> tuple[Space, Design]:
        """Points of a space and their design."""
        assert name == self.space.name
        return self.space, self.design


class Study(PointStudy):
    """One run opened for analysis.

    What several sections need (the headline space, its design and distances, margins of a space under a
    distance) is made once and kept; sections are computed when they are asked for, and kept.

    Example
    -------
    >>> import margin
    >>> study = Study(margin.open_run("demo-run"))
    >>> study.space.points.shape
    (120, 8192)
    """

    def __init__(self, run: Run, settings: Settings | None = None, against: Line | None = None) -> None:
        super().__init__(settings)
        self.run = run
        self.against = against
        """What the verdict says of an earlier release, by whoever compared them."""
        self._last: dict[str, tuple[Space, Design]] = {}

    def __repr__(self) -> str:
        return f"Study({brief(self.run.path.name)})"

    @cached_property
    def space(self) -> Space:
        """Points of the headline space: the logits of the modes' rows."""
        return self._headline[0]

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """(N,) place of each point of the headline space in the run."""
        return self._headline[1]

    @cached_property
    def design(self) -> Design:
        """Prompt and mode of each point of the headline space."""
        return self.design_of(self.rows)

    def design_of(self, rows: NDArray[np.int64]) -> Design:
        """The design of some rows of the run, clustered as the settings say."""
        return design_of(self.run, rows, self.settings.cluster)

    @cached_property
    def labels(self) -> pd.DataFrame:
        """What the prompts' own columns say, indexed by prompt id."""
        return self.run.prompts.set_index("id").drop(columns="prompt")

    @property
    def texts(self) -> pd.Series:
        """The prompts themselves, by prompt id."""
        texts: pd.Series = self.run.prompts.set_index("id")["prompt"]
        return texts

    @cached_property
    def tokens(self) -> TokenTables:
        """What the run keeps of whole next-token distributions."""
        return tokens_of(self.run, self.settings.cluster)

    def coordinates(self) -> tuple[FloatArray, bool]:
        """(N, d) places of the points: of a head that is not affine the final states stand for the logits,
        which have no coordinates."""
        if isinstance(self.space, Coordinates):
            return super().coordinates()
        return self.run.states()[self.rows], False

    def token_margins(self) -> FloatArray:
        """(N,) margin of each point's first token, from the run's likeliest tokens."""
        ids, logits = self.run.topk()
        return token_margins(
            ids[self.rows],
            logits[self.rows],
            self.run.logsumexp()[self.rows],
            self.design,
            self.settings.rng("first tokens"),
        ).margins

    @cached_property
    def decoys(self) -> DecoyRows | None:
        """The run's decoy sets; None where it was collected without."""
        return decoy_rows(self.run, self.settings.cluster)

    @cached_property
    def placement(self) -> Placement:
        """Every row as a point, control conditions too, and the mode each lands in."""
        return placement_of(self.run, self.settings.seed, self.settings.cluster)

    def by_distance(self) -> dict[Distance, Margins]:
        """Margins of the headline space by distance; "hellinger2" is of next-token distributions."""
        return super().by_distance() | {"hellinger2": self.margins("probabilities", "hellinger2")}

    def section(self, kind: type[S]) -> S | None:
        """One section; None where the run holds nothing for it."""
        if kind not in self._sections:
            self._sections[kind] = kind.of(self)
        found = self._sections[kind]
        assert found is None or isinstance(found, kind)
        return found

    @cached_property
    def _headline(self) -> tuple[Space, NDArray[np.int64]]:
        return space_of(self.run, SPACE)

    def _points(self, name: str) -> tuple[Space, Design]:
        """Points of a space and their design; of all but the headline's only the last asked for are kept."""
        if name == SPACE:
            return self.space, self.design
        if name not in self._last:
            space, rows = space_of(self.run, name)
            self._last = {name: (space, self.design_of(rows))}
        return self._last[name]
